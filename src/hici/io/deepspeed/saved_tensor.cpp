// SPDX-License-Identifier: Apache-2.0
#include "hici/io/deepspeed/saved_tensor.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/io/tensor_source.h"
#include "hici/io/torch/tensor_view.h"

#include <ATen/Functions.h>
#include <c10/core/ScalarType.h>

#include <algorithm>

namespace hici::io {

PickledValue DumpFile::root() const {
  PickledValue root(archive_.read_pickle(), archive_.subject());
  HICI_CHECK(root.kind() == pickle::Kind::kDict, archive_.subject(), ": holds ", name_of(root.kind()),
             ", expected the dict of a training checkpoint of DeepSpeed");
  return root;
}

void DumpFile::read(const PickledTensor& tensor, int64_t begin, void* out, uint64_t bytes) const {
  parts_.read(storage_record(tensor), static_cast<uint64_t>(begin) * c10::elementSize(tensor.dtype), out, bytes);
}

void DumpFile::prefetch(const PickledTensor& tensor, int64_t begin, uint64_t bytes) const {
  archive_.prefetch(storage_record(tensor), static_cast<uint64_t>(begin) * c10::elementSize(tensor.dtype), bytes);
}

SavedTensor::SavedTensor(std::shared_ptr<const DumpFile> of, const PickledValue& value, const std::string& name)
    : file(std::move(of)), tensor(value.tensor()) {
  tensor.name = name;
  check_view(file->archive(), tensor, name);
}

int64_t SavedTensor::num_elements() const { return TensorInfo{tensor.dtype, tensor.sizes}.num_elements(); }

at::Tensor SavedTensor::read() const {
  const bool is_bool = tensor.dtype == at::kBool;
  const int64_t count = std::max<int64_t>(0, view_end(tensor) - tensor.offset);
  at::Tensor stored = at::empty({count}, at::TensorOptions(is_bool ? at::kByte : tensor.dtype));
  file->read(tensor, tensor.offset, stored.mutable_data_ptr(), stored.nbytes());
  if (is_bool) stored = stored.ne(0);  // any other byte than 0 and 1 is no bool
  return stored.as_strided(tensor.sizes, tensor.strides, 0).contiguous();
}

void FlatVector::append(SavedTensor part) {
  const PickledTensor& tensor = part.tensor;
  const std::string subject = part.file->subject() + ": tensor '" + printable(tensor.name) + "'";
  const bool is_vector = tensor.sizes.size() == 1 && (tensor.strides[0] == 1 || tensor.sizes[0] <= 1);
  HICI_CHECK(is_vector, subject, " is ", shown_shape(tensor.sizes), ", expected a vector; the file is damaged");
  HICI_CHECK(parts_.empty() || tensor.dtype == dtype(), subject, " is ", shown_dtype(tensor.dtype), ", that of ",
             parts_.empty() ? "" : parts_.front().file->subject(), " is ", parts_.empty() ? "" : shown_dtype(dtype()),
             "; do the files belong to one run?");
  begins_.push_back(size_);
  size_ += tensor.sizes[0];  // no more than what lies in files
  parts_.push_back(std::move(part));
}

// use(part, first element in the part's storage, number of elements) for what the parts have of [begin, begin + count).
template <typename F>
void FlatVector::for_each_part(int64_t begin, int64_t count, const F& use) const {
  HICI_ASSERT(begin >= 0 && count >= 0 && begin <= size_ && count <= size_ - begin, begin, " + ", count, " of ", size_);
  auto index = static_cast<size_t>(std::upper_bound(begins_.begin(), begins_.end(), begin) - begins_.begin());
  for (index = index == 0 ? 0 : index - 1; count > 0; ++index) {
    const SavedTensor& part = parts_[index];
    const int64_t skipped = begin - begins_[index];
    const int64_t taken = std::min(count, part.tensor.sizes[0] - skipped);
    if (taken <= 0) continue;
    use(part, part.tensor.offset + skipped, taken);
    begin += taken;
    count -= taken;
  }
}

void FlatVector::prefetch(int64_t begin, int64_t count) const {
  for_each_part(begin, count, [](const SavedTensor& part, int64_t first, int64_t taken) {
    part.file->prefetch(part.tensor, first, static_cast<uint64_t>(taken) * c10::elementSize(part.tensor.dtype));
  });
}

void FlatVector::read(int64_t begin, int64_t count, void* out) const {
  auto* to = static_cast<char*>(out);
  for_each_part(begin, count, [&](const SavedTensor& part, int64_t first, int64_t taken) {
    const auto bytes = static_cast<uint64_t>(taken) * c10::elementSize(part.tensor.dtype);
    part.file->read(part.tensor, first, to, bytes);
    to += bytes;
  });
}

}  // namespace hici::io
