// SPDX-License-Identifier: Apache-2.0
#include "hici/io/torch/torch_pickle.h"

#include "hici/base/error.h"
#include "hici/base/json.h"

#include <ATen/Functions.h>
#include <c10/core/ScalarType.h>

#include <algorithm>
#include <optional>

namespace hici::io {
namespace {

constexpr uint64_t kMaxByteOrderBytes = 64;
constexpr size_t kMaxPickleBytes = size_t{16} << 20;  // names and shapes only; 100,000 tensors take less

// First index past the last element that a view touches; nothing when a size is negative or the sum leaves 64 bits.
std::optional<int64_t> view_end(const PickledTensor& view) {
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

TorchFile::TorchFile(const fs::path& path, Links links) : archive_(path, links) { load_index(); }

TorchFile::TorchFile(std::string_view bytes, const std::string& subject) : archive_(bytes, subject) { load_index(); }

void TorchFile::load_index() {
  if (archive_.has("byteorder")) {
    const std::string order = archive_.read_text("byteorder", kMaxByteOrderBytes);
    HICI_CHECK(order == "little", archive_.subject(), ": written with byte order '", printable(order),
               "', expected little");
  }
  for (PickledTensor& tensor :
       read_pickled_state_dict(archive_.read_text("data.pkl", kMaxPickleBytes), archive_.subject()))
    add_tensor(std::move(tensor));
}

void TorchFile::add_tensor(PickledTensor tensor) {
  const std::string subject = archive_.subject() + ": tensor '" + printable(tensor.name) + "'";
  const TensorInfo info{tensor.dtype, tensor.sizes};
  const std::string record = "data/" + tensor.storage_key;
  HICI_CHECK(is_plain_name(tensor.storage_key) && archive_.has(record), subject, " lies in record '", printable(record),
             "', which is not there; the file is damaged");
  const uint64_t bytes = archive_.record_bytes(record);
  const uint64_t element_bytes = c10::elementSize(info.dtype);
  HICI_CHECK(tensor.storage_elements >= 0 && bytes % element_bytes == 0 &&
                 static_cast<uint64_t>(tensor.storage_elements) == bytes / element_bytes,
             subject, ": its storage promises ", tensor.storage_elements, " elements, record '", printable(record),
             "' has ", bytes, " bytes; the file is damaged");
  const std::optional<int64_t> end = view_end(tensor);
  HICI_CHECK(tensor.offset >= 0 && tensor.offset <= tensor.storage_elements && end && *end <= tensor.storage_elements &&
                 is_bounded(tensor),
             subject, ": shape ", shown_shape(tensor.sizes), ", strides ", shown_shape(tensor.strides), ", offset ",
             tensor.offset, " leave its storage of ", tensor.storage_elements, " elements; the file is damaged");
  HICI_CHECK(tensors_.emplace(tensor.name, info).second, subject, " is there twice; the file is damaged");
  views_.emplace(tensor.name, std::move(tensor));
}

at::Tensor TorchFile::read(const std::string& name, at::ScalarType dtype, at::Device device) const {
  const TensorInfo& entry = info(name);
  const PickledTensor& view = views_.at(name);
  at::Tensor storage =
      at::empty({view.storage_elements}, at::TensorOptions(entry.dtype == at::kBool ? at::kByte : entry.dtype));
  archive_.read("data/" + view.storage_key, storage.mutable_data_ptr(), storage.nbytes());
  if (entry.dtype == at::kBool) storage = storage.ne(0);  // any other byte than 0 and 1 is no bool
  const at::Tensor shown = storage.as_strided(view.sizes, view.strides, view.offset);
  if (!contents_.contains(name)) {
    const at::Tensor stored = shown.contiguous();
    ContentHash hash;
    hash.update(stored.const_data_ptr(), stored.nbytes());
    contents_.emplace(name, content_text(entry, hash));
  }
  at::Tensor out = shown.to(dtype).contiguous().to(device);
  // A view of a part must not keep the whole storage alive.
  return out.storage().nbytes() > out.nbytes() ? out.clone() : out;
}

std::string TorchFile::content_of(const std::string& name) const {
  const auto found = contents_.find(name);
  return found == contents_.end() ? "" : found->second;
}

}  // namespace hici::io
