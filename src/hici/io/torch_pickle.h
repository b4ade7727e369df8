// SPDX-License-Identifier: Apache-2.0
// .bin and .pt files of torch.save (the zip form, torch 1.6 and later) that hold a state dict. The archive is opened by
// LibTorch's own reader, the pickle by pickle_reader.h; tensors are checked against the records before any is read.
// Older files and TorchScript archives are refused with the way out.
#pragma once

#include "hici/base/file.h"
#include "hici/io/pickle_reader.h"
#include "hici/io/tensor_source.h"

#include <memory>
#include <string_view>

namespace hici::io {

class TorchFile final : public TensorSource {
 public:
  explicit TorchFile(const fs::path& path);
  // An archive that is in memory already; the fuzz target enters here. `bytes` must outlive the object.
  TorchFile(std::string_view bytes, const std::string& subject);
  ~TorchFile() override;

  using TensorSource::read;
  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  at::Tensor read(const std::string& name, at::ScalarType dtype, at::Device device = at::kCPU) const override;
  std::string file_of(const std::string&) const override { return subject_; }

 private:
  struct Archive;

  void load_index();
  void add_tensor(PickledTensor tensor);

  std::string subject_;
  std::unique_ptr<Archive> archive_;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, PickledTensor> views_;
};

}  // namespace hici::io
