// SPDX-License-Identifier: Apache-2.0
#include "hici/io/torch/torch_pickle.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/io/torch/tensor_view.h"

#include <ATen/Functions.h>

namespace hici::io {

TorchFile::TorchFile(const fs::path& path, Links links) : archive_(path, links) { load_index(); }

TorchFile::TorchFile(std::string_view bytes, const std::string& subject) : archive_(bytes, subject) { load_index(); }

void TorchFile::load_index() {
  for (PickledTensor& tensor : read_pickled_state_dict(archive_.read_pickle(), archive_.subject()))
    add_tensor(std::move(tensor));
}

void TorchFile::add_tensor(PickledTensor tensor) {
  check_view(archive_, tensor, tensor.name);
  HICI_CHECK(tensors_.emplace(tensor.name, TensorInfo{tensor.dtype, tensor.sizes}).second, archive_.subject(),
             ": tensor '", printable(tensor.name), "' is there twice; the file is damaged");
  views_.emplace(tensor.name, std::move(tensor));
}

at::Tensor TorchFile::read(const std::string& name, at::ScalarType dtype, at::Device device) const {
  const TensorInfo& entry = info(name);
  const PickledTensor& view = views_.at(name);
  at::Tensor storage =
      at::empty({view.storage_elements}, at::TensorOptions(entry.dtype == at::kBool ? at::kByte : entry.dtype));
  archive_.read(storage_record(view), storage.mutable_data_ptr(), storage.nbytes());
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
