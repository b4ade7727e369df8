// SPDX-License-Identifier: Apache-2.0
// safetensors files. Reading checks the whole header (offsets without hole or overlap, shape times size equal to the
// span, last end equal to the end of the file) before any data is read; writing publishes a complete file or none.
// Format: https://huggingface.co/docs/safetensors
#pragma once

#include "hici/base/file.h"
#include "hici/io/safetensors_hashes.h"
#include "hici/io/tensor_source.h"

#include <functional>
#include <optional>
#include <string_view>

namespace hici::io {

constexpr uint64_t kMaxSafetensorsHeader = 100'000'000;

struct SafetensorsHeader {
  uint64_t data_start = 0;
  std::map<std::string, TensorInfo> tensors;
  std::map<std::string, uint64_t> offsets;  // of each tensor, from the start of the file
  std::map<std::string, std::string> metadata;
};

// `header` is the JSON, `data_start` its end in a file of `file_size` bytes. The fuzz target calls this function.
SafetensorsHeader parse_safetensors_header(std::string_view header, uint64_t data_start, uint64_t file_size,
                                           const std::string& subject);
SafetensorsHeader read_safetensors_header(const MappedFile& file);

// The end of an error message about a file that differs from the manifest.json of its folder.
constexpr const char* kNotAsListed =
    "; the file is damaged, or of another run (to read the folder as it is, remove manifest.json)";

// Used by one thread at a time.
class SafetensorsFile final : public TensorSource {
 public:
  explicit SafetensorsFile(const fs::path& path);
  // Data is compared while it is read with `expected`, the hashes of a manifest.
  SafetensorsFile(const fs::path& path, Links links, std::optional<SafetensorsHashes> expected = {});

  using TensorSource::read;
  const std::map<std::string, TensorInfo>& tensors() const override { return header_.tensors; }
  at::Tensor read(const std::string& name, at::ScalarType dtype, at::Device device = at::kCPU) const override;
  std::string file_of(const std::string&) const override { return file_.path().string(); }
  std::string content_of(const std::string& name) const override;

  const std::map<std::string, std::string>& metadata() const { return header_.metadata; }
  // The raw bytes in the mapping (see MappedFile::bytes for when that is safe).
  std::span<const std::byte> bytes_of(const std::string& name) const;

 private:
  void check_header() const;
  void note_content(const std::string& name, const ContentHash& hash) const;

  MappedFile file_;
  SafetensorsHeader header_;
  std::optional<SafetensorsHashes> expected_;
  mutable std::map<std::string, std::string> contents_;  // of tensors that were read
};

// A tensor to write. Its name, type and shape are known at once; its data is loaded when it is written, then released.
struct TensorToWrite {
  std::string name;
  at::ScalarType dtype;
  std::vector<int64_t> shape;
  std::function<at::Tensor()> load;  // any device, any layout; converted to `dtype`
  // Instead of load(), where there is one: all bytes in order, in `dtype`, without the whole tensor in memory.
  std::function<void(const PieceSink&)> load_pieces = {};

  // For a tensor in memory.
  TensorToWrite(std::string tensor_name, const at::Tensor& tensor);
  TensorToWrite(std::string tensor_name, at::ScalarType type, std::vector<int64_t> size,
                std::function<at::Tensor()> loader);
  uint64_t num_bytes() const;
};

// The metadata always has {"format": "pt"}, because transformers refuses a file without it. Errors: an empty tensor, a
// duplicate name, a shape other than the stated one. After an error there is no file under `path`.
void write_safetensors(const fs::path& path, std::vector<TensorToWrite> tensors,
                       const std::map<std::string, std::string>& metadata = {});

// DIR/model.safetensors, or shards of at most `max_shard_bytes` (a larger tensor has a shard of its own) with their
// index.
void write_safetensors_model(const fs::path& dir, std::vector<TensorToWrite> tensors, uint64_t max_shard_bytes);

// Disk space of the two functions above, including headers, within a few bytes.
uint64_t safetensors_bytes(const std::vector<TensorToWrite>& tensors);

// The format's names of types, "BF16" and so on; empty for an unsupported type.
std::optional<at::ScalarType> safetensors_dtype(std::string_view name);

}  // namespace hici::io
