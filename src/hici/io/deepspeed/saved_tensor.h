// SPDX-License-Identifier: Apache-2.0
// Tensors inside the files of a training checkpoint, and how they are read: whole, or as parts of flat vectors that
// continue from file to file.
#pragma once

#include "hici/base/file.h"
#include "hici/io/torch/archive.h"
#include "hici/io/torch/checked_parts.h"
#include "hici/io/torch/pickled_record.h"
#include "hici/io/torch/pickled_tensor.h"

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace hici::io {

// One file of a dump; what was read of it is compared with its checksums at the latest by finish().
class DumpFile {
 public:
  explicit DumpFile(const fs::path& path) : archive_(path, Links::kData), parts_(archive_) {}
  // An archive that is in memory already; the fuzz target enters here. `bytes` must outlive the object.
  DumpFile(std::string_view bytes, const std::string& subject) : archive_(bytes, subject), parts_(archive_) {}

  const std::string& subject() const { return archive_.subject(); }
  const TorchArchive& archive() const { return archive_; }
  // A dict.
  PickledValue root() const;
  // Bytes of the storage of `tensor`, from element `begin` of the storage on.
  void read(const PickledTensor& tensor, int64_t begin, void* out, uint64_t bytes) const;
  void prefetch(const PickledTensor& tensor, int64_t begin, uint64_t bytes) const;
  void finish() const { parts_.finish(); }

 private:
  TorchArchive archive_;
  mutable CheckedParts parts_;
};

// A tensor of one file, compared with its record.
struct SavedTensor {
  std::shared_ptr<const DumpFile> file;
  PickledTensor tensor;

  // `value` must be a tensor of `file`; messages call it `name`.
  SavedTensor(std::shared_ptr<const DumpFile> of, const PickledValue& value, const std::string& name);
  int64_t num_elements() const;
  // Contiguous, in its own type.
  at::Tensor read() const;
};

// Vectors of one type one after the other.
class FlatVector {
 public:
  // An error unless it is a vector without gaps, and of the type of those before.
  void append(SavedTensor part);
  int64_t size() const { return size_; }
  const std::vector<SavedTensor>& parts() const { return parts_; }
  c10::ScalarType dtype() const { return parts_.front().tensor.dtype; }
  // Elements [begin, begin + count) to `out`; prefetch(): the disk is asked for them.
  void prefetch(int64_t begin, int64_t count) const;
  void read(int64_t begin, int64_t count, void* out) const;

 private:
  template <typename F>
  void for_each_part(int64_t begin, int64_t count, const F& use) const;

  std::vector<SavedTensor> parts_;
  std::vector<int64_t> begins_;
  int64_t size_ = 0;
};

}  // namespace hici::io
