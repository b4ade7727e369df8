// SPDX-License-Identifier: Apache-2.0
#include "hici/io/tensor_source.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/ops/non_finite.h"

#include <c10/core/ScalarType.h>

namespace hici::io {

int64_t TensorInfo::num_elements() const {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return count;
}

uint64_t TensorInfo::num_bytes() const { return static_cast<uint64_t>(num_elements()) * c10::elementSize(dtype); }

const TensorInfo& TensorSource::info(const std::string& name) const {
  const auto found = tensors().find(name);
  HICI_CHECK(found != tensors().end(), file_of(name), ": has no tensor '", printable(name),
             "'; is it complete, and of this model?");
  return found->second;
}

void TensorSource::read_pieces(const std::string& name, const PieceSink& sink) const {
  const at::Tensor tensor = read(name);
  sink(tensor.const_data_ptr(), tensor.nbytes());
}

TensorNames own_names(const TensorSource& source, const IsWanted& is_wanted) {
  TensorNames names;
  for (const auto& [name, ignored] : source.tensors())
    if (is_wanted(name)) names.emplace_back(name, name);
  return names;
}

std::shared_ptr<const TensorSource> part_of(const std::shared_ptr<const TensorSource>& source,
                                            const IsWanted& is_wanted) {
  return std::make_shared<RenamedSource>(source, own_names(*source, is_wanted));
}

RenamedSource::RenamedSource(std::shared_ptr<const TensorSource> inner, const TensorNames& names)
    : inner_(std::move(inner)) {
  for (const auto& [name, inner_name] : names) {
    const bool is_new = inner_names_.emplace(name, inner_name).second;
    HICI_CHECK(is_new, inner_->file_of(inner_name), ": tensor '", printable(name), "' is there under two spellings, '",
               printable(inner_name), "' and '", printable(inner_names_.at(name)), "'; remove one");
    tensors_.emplace(name, inner_->info(inner_name));
  }
}

at::Tensor RenamedSource::read(const std::string& name, at::ScalarType dtype, at::Device device) const {
  info(name);
  return inner_->read(inner_names_.at(name), dtype, device);
}

void RenamedSource::read_pieces(const std::string& name, const PieceSink& sink) const {
  info(name);
  inner_->read_pieces(inner_names_.at(name), sink);
}

std::string RenamedSource::file_of(const std::string& name) const {
  const auto found = inner_names_.find(name);
  return inner_->file_of(found == inner_names_.end() ? name : found->second);
}

std::string RenamedSource::content_of(const std::string& name) const {
  const auto found = inner_names_.find(name);
  return found == inner_names_.end() ? "" : inner_->content_of(found->second);
}

JoinedSource::JoinedSource(std::shared_ptr<const TensorSource> first, std::shared_ptr<const TensorSource> second)
    : first_(std::move(first)), second_(std::move(second)), tensors_(first_->tensors()) {
  for (const auto& [name, info] : second_->tensors())
    HICI_CHECK(tensors_.emplace(name, info).second, second_->file_of(name), ": tensor '", printable(name),
               "' is also in ", first_->file_of(name), "; remove one of them");
}

at::Tensor JoinedSource::read(const std::string& name, at::ScalarType dtype, at::Device device) const {
  return holder_of(name).read(name, dtype, device);
}

void JoinedSource::read_pieces(const std::string& name, const PieceSink& sink) const {
  holder_of(name).read_pieces(name, sink);
}

std::string JoinedSource::file_of(const std::string& name) const { return holder_of(name).file_of(name); }

void check_finite(const at::Tensor& tensor, const TensorSource& source, const std::string& name) {
  const std::string value = ops::first_non_finite(tensor);
  HICI_CHECK(value.empty(), source.file_of(name), ": tensor '", printable(name), "' holds ", value,
             "; fetch the file again, or use another checkpoint");
}

std::string content_text(const TensorInfo& info, const ContentHash& hash) {
  return shown_dtype(info.dtype) + shown_shape(info.shape) + " " + hash.hex_digest();
}

std::string shown_shape(const std::vector<int64_t>& shape) {
  std::string out = "[";
  for (const int64_t size : shape) out += (out.size() > 1 ? ", " : "") + std::to_string(size);
  return out + "]";
}

std::string shown_dtype(at::ScalarType dtype) {
  switch (dtype) {
    case at::kDouble:
      return "F64";
    case at::kFloat:
      return "F32";
    case at::kHalf:
      return "F16";
    case at::kBFloat16:
      return "BF16";
    case at::kLong:
      return "I64";
    case at::kInt:
      return "I32";
    case at::kShort:
      return "I16";
    case at::kChar:
      return "I8";
    case at::kByte:
      return "U8";
    case at::kBool:
      return "BOOL";
    case at::ScalarType::Float8_e4m3fn:
      return "F8_E4M3";
    case at::ScalarType::Float8_e5m2:
      return "F8_E5M2";
    case at::ScalarType::UInt16:
      return "U16";
    case at::ScalarType::UInt32:
      return "U32";
    case at::ScalarType::UInt64:
      return "U64";
    default:
      return c10::toString(dtype);
  }
}

}  // namespace hici::io
