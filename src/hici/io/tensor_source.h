// SPDX-License-Identifier: Apache-2.0
// Named tensors in files. Names and shapes are known at once; data is read tensor by tensor. The common interface of
// safetensors files, .bin files and sharded directories; loading code does not depend on the format.
#pragma once

#include "hici/base/content_hash.h"

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace hici::io {

// Bounds on what a file of weights may hold, far above any model.
constexpr size_t kMaxTensors = size_t{1} << 20;
constexpr size_t kMaxRank = 8;
constexpr size_t kMaxTensorNameLength = 1024;

struct TensorInfo {
  at::ScalarType dtype;
  std::vector<int64_t> shape;

  int64_t num_elements() const;
  uint64_t num_bytes() const;
};

// Takes the next bytes of a tensor; they are valid during the call.
using PieceSink = std::function<void(const void* bytes, size_t num_bytes)>;

class TensorSource {
 public:
  virtual ~TensorSource() = default;

  // All tensors by name. Shapes are checked: num_bytes() of every entry are in the file.
  virtual const std::map<std::string, TensorInfo>& tensors() const = 0;

  // A contiguous tensor with its own memory, converted to `dtype`. Needs at most the memory of one more tensor
  // meanwhile.
  virtual at::Tensor read(const std::string& name, at::ScalarType dtype, at::Device device = at::kCPU) const = 0;

  // The elements of a tensor in order and in the type of the file, to where they go, in pieces of whole elements. A
  // source that does without the whole tensor in memory overrides this.
  virtual void read_pieces(const std::string& name, const PieceSink& sink) const;

  // The file that holds the tensor, for messages.
  virtual std::string file_of(const std::string& name) const = 0;

  // The identity of a stored tensor after it was read: type, shape and ContentHash of the bytes of its elements,
  // "BF16[2, 3] 0123...". The same in every file format. Empty before the tensor was read.
  virtual std::string content_of(const std::string& /*name*/) const { return ""; }

  bool has(const std::string& name) const { return tensors().count(name) != 0; }
  // In the type of the file.
  at::Tensor read(const std::string& name) const { return read(name, info(name).dtype); }
  // An hici::Error if there is no such tensor.
  const TensorInfo& info(const std::string& name) const;
};

// Pairs of a new name and the name in another source.
using TensorNames = std::vector<std::pair<std::string, std::string>>;
using IsWanted = std::function<bool(const std::string& name)>;
// Those of `source` that are wanted, each under its own name.
TensorNames own_names(const TensorSource& source, const IsWanted& is_wanted);

// The tensors of another source under new names (prefixes removed, some left out).
class RenamedSource final : public TensorSource {
 public:
  RenamedSource(std::shared_ptr<const TensorSource> inner, const TensorNames& names);

  using TensorSource::read;
  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  at::Tensor read(const std::string& name, at::ScalarType dtype, at::Device device = at::kCPU) const override;
  void read_pieces(const std::string& name, const PieceSink& sink) const override;
  std::string file_of(const std::string& name) const override;
  std::string content_of(const std::string& name) const override;

 private:
  std::shared_ptr<const TensorSource> inner_;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, std::string> inner_names_;
};

// Those of `source` that are wanted.
std::shared_ptr<const TensorSource> part_of(const std::shared_ptr<const TensorSource>& source,
                                            const IsWanted& is_wanted);

// The tensors of two sources; a name in both is an error.
class JoinedSource final : public TensorSource {
 public:
  JoinedSource(std::shared_ptr<const TensorSource> first, std::shared_ptr<const TensorSource> second);

  using TensorSource::read;
  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  at::Tensor read(const std::string& name, at::ScalarType dtype, at::Device device = at::kCPU) const override;
  void read_pieces(const std::string& name, const PieceSink& sink) const override;
  std::string file_of(const std::string& name) const override;
  std::string content_of(const std::string& name) const override { return holder_of(name).content_of(name); }

 private:
  const TensorSource& holder_of(const std::string& name) const { return second_->has(name) ? *second_ : *first_; }

  std::shared_ptr<const TensorSource> first_, second_;
  std::map<std::string, TensorInfo> tensors_;
};

// An error that names file, tensor and value if the tensor, as read from `source`, is not finite. No command makes new
// weights from nan.
void check_finite(const at::Tensor& tensor, const TensorSource& source, const std::string& name);

// For TensorSource::content_of().
std::string content_text(const TensorInfo& info, const ContentHash& hash);

// "[4096, 4096]", "BF16": as messages and `hici inspect` show them.
std::string shown_shape(const std::vector<int64_t>& shape);
std::string shown_dtype(at::ScalarType dtype);

}  // namespace hici::io
