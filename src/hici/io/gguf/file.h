// SPDX-License-Identifier: Apache-2.0
// GGUF files, version 3: magic, counts, metadata, descriptions of tensors, then their data. Everything is
// little-endian; data begins at multiples of kAlignment. Format:
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
#pragma once

#include "hici/base/file.h"
#include "hici/io/gguf/tensor_type.h"

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

namespace hici::io::gguf {

constexpr uint64_t kAlignment = 32;    // the format's default
constexpr size_t kMaxNameLength = 63;  // of a tensor; ggml has 64 bytes for it and a NUL

using Value = std::variant<uint32_t, int32_t, float, bool, std::string, std::vector<std::string>, std::vector<float>,
                           std::vector<int32_t>>;
// Keys in the order in which they are written.
using Metadata = std::vector<std::pair<std::string, Value>>;

struct TensorToWrite {
  std::string name;
  TensorType type;
  std::vector<int64_t> shape;        // rows first, as torch has it; the file has it reversed
  std::function<at::Tensor()> load;  // any floating type; encoded some rows at a time
};

// Publishes a complete file or none. Errors: an empty tensor, a name that is too long or there twice, rows without
// whole blocks, a shape other than the stated one.
void write_file(const fs::path& path, const Metadata& metadata, const std::vector<TensorToWrite>& tensors);

// Disk space of the same.
uint64_t file_bytes(const Metadata& metadata, const std::vector<TensorToWrite>& tensors);

struct StoredTensor {
  TensorType type;
  std::vector<int64_t> shape;
  uint64_t offset;  // from the start of the file
};

// What write_file() wrote: for checking it. Only the types of Value and TensorType are known.
class File {
 public:
  explicit File(const fs::path& path);

  const fs::path& path() const { return file_.path(); }
  const Metadata& metadata() const { return metadata_; }
  const std::vector<std::pair<std::string, StoredTensor>>& tensors() const { return tensors_; }
  // In float32.
  at::Tensor read(const StoredTensor& tensor) const;

 private:
  MappedFile file_;
  Metadata metadata_;
  std::vector<std::pair<std::string, StoredTensor>> tensors_;
};

}  // namespace hici::io::gguf
