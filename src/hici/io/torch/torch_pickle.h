// SPDX-License-Identifier: Apache-2.0
// .bin and .pt files of torch.save (the zip form, torch 1.6 and later) that hold a state dict. The archive is opened by
// torch_archive.h, the pickle by pickle_reader.h; tensors are checked against the records before any is read.
#pragma once

#include "hici/base/file.h"
#include "hici/io/tensor_source.h"
#include "hici/io/torch/archive.h"
#include "hici/io/torch/pickle_reader.h"

#include <string_view>

namespace hici::io {

class TorchFile final : public TensorSource {
 public:
  TorchFile(const fs::path& path, Links links);
  // An archive that is in memory already; the fuzz target enters here. `bytes` must outlive the object.
  TorchFile(std::string_view bytes, const std::string& subject);

  using TensorSource::read;
  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  // Every byte of the tensor's storage is compared with the archive's checksum on the way.
  at::Tensor read(const std::string& name, at::ScalarType dtype, at::Device device = at::kCPU) const override;
  std::string file_of(const std::string&) const override { return archive_.subject(); }
  std::string content_of(const std::string& name) const override;

 private:
  void load_index();
  void add_tensor(PickledTensor tensor);

  TorchArchive archive_;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, PickledTensor> views_;
  mutable std::map<std::string, std::string> contents_;  // of tensors that were read
};

}  // namespace hici::io
