// SPDX-License-Identifier: Apache-2.0
#include "hici/io/torch/tensor_view.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/io/tensor_source.h"

#include <c10/core/ScalarType.h>

#include <algorithm>
#include <optional>

namespace hici::io {
namespace {

// First index past the last element that a view touches; nothing when a size is negative or the sum leaves 64 bits.
std::optional<int64_t> end_of(const PickledTensor& view) {
  int64_t end = view.offset;
  bool is_empty = false;
  for (size_t i = 0; i < view.sizes.size(); ++i) {
    const int64_t size = view.sizes[i], stride = view.strides[i];
    int64_t reach = 0;
    if (size < 0 || stride < 0) return std::nullopt;
    if (size == 0) is_empty = true;
    if (__builtin_mul_overflow(std::max<int64_t>(0, size - 1), stride, &reach) ||
        __builtin_add_overflow(end, reach, &end))
      return std::nullopt;
  }
  if (is_empty) return 0;
  return __builtin_add_overflow(end, 1, &end) ? std::nullopt : std::optional<int64_t>(end);
}

// A view may repeat elements (stride 0); it may not be larger than what it views, or reading would need unbounded
// memory.
bool is_bounded(const PickledTensor& view) {
  int64_t count = 1;
  bool is_empty = false;
  for (const int64_t size : view.sizes) {
    is_empty = is_empty || size == 0;
    if (__builtin_mul_overflow(count, std::max<int64_t>(1, size), &count) || count > int64_t{1} << 48) return false;
  }
  return is_empty || count <= std::max<int64_t>(view.storage_elements, 1);
}

}  // namespace

std::string storage_record(const PickledTensor& tensor) { return "data/" + tensor.storage_key; }

void check_view(const TorchArchive& archive, const PickledTensor& tensor, const std::string& name) {
  const std::string subject = archive.subject() + ": tensor '" + printable(name) + "'";
  const TensorInfo info{tensor.dtype, tensor.sizes};
  const std::string record = storage_record(tensor);
  HICI_CHECK(is_plain_name(tensor.storage_key) && archive.has(record), subject, " lies in record '", printable(record),
             "', which is not there; the file is damaged");
  const uint64_t bytes = archive.record_bytes(record);
  const uint64_t element_bytes = c10::elementSize(info.dtype);
  HICI_CHECK(tensor.storage_elements >= 0 && bytes % element_bytes == 0 &&
                 static_cast<uint64_t>(tensor.storage_elements) == bytes / element_bytes,
             subject, ": its storage promises ", tensor.storage_elements, " elements, record '", printable(record),
             "' has ", bytes, " bytes; the file is damaged");
  const std::optional<int64_t> end = end_of(tensor);
  HICI_CHECK(tensor.offset >= 0 && tensor.offset <= tensor.storage_elements && end && *end <= tensor.storage_elements &&
                 is_bounded(tensor),
             subject, ": shape ", shown_shape(tensor.sizes), ", strides ", shown_shape(tensor.strides), ", offset ",
             tensor.offset, " leave its storage of ", tensor.storage_elements, " elements; the file is damaged");
}

int64_t view_end(const PickledTensor& tensor) { return end_of(tensor).value_or(0); }

}  // namespace hici::io
