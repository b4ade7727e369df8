// SPDX-License-Identifier: Apache-2.0
// A Llama or Qwen3 model as one GGUF file of llama.cpp's architectures `llama` and `qwen3`. llama.cpp's rotation of
// `llama` is of neighbouring numbers of a head, that of transformers of its two halves: rows of q_proj and k_proj
// change their order. In `qwen3` they do not.
#pragma once

#include "hici/config/model_config.h"
#include "hici/io/gguf/file.h"
#include "hici/io/gguf/tokenizer.h"
#include "hici/io/tensor_source.h"

#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace hici::io::gguf {

// "model-Q8_0.gguf".
std::string file_name(TensorType type);

// How a tensor of a model is stored whose matrices have `type`: vectors are always F32.
TensorType stored_type(TensorType type, const std::vector<int64_t>& shape);

struct ModelToWrite {
  const config::ModelConfig& config;  // of written_config()
  TensorType type;
  TokenizerFolders folders;
  std::string subject;  // of what the format does not have, in messages
};

// A weight of the model, by its name in transformers.
struct WeightToWrite {
  std::string name;
  std::vector<int64_t> shape;
  std::function<at::Tensor()> load;
};

// The model as a reader of the file has it: a context factor of RoPE is a part of its scaling.
config::ModelConfig written_config(const config::ModelConfig& config, const std::string& subject);

// The content of the file. Everything that the format or llama.cpp does not have is an error here, before any weight is
// read.
struct ModelFile {
  Metadata metadata;
  std::vector<TensorToWrite> tensors;
};
ModelFile model_file(const ModelToWrite& model, const std::vector<WeightToWrite>& weights);

// The weights of such a file under their names in transformers, with their rows in the order of transformers; in
// float32.
class ModelSource final : public TensorSource {
 public:
  // An error unless the file has exactly `expected` and its factors of RoPE.
  ModelSource(const std::filesystem::path& path, const config::ModelConfig& config, const ModelFile& expected);

  using TensorSource::read;
  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  at::Tensor read(const std::string& name, at::ScalarType dtype, at::Device device = at::kCPU) const override;
  std::string file_of(const std::string&) const override { return file_.path().string(); }

 private:
  File file_;
  const config::ModelConfig config_;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, StoredTensor> stored_;
};

}  // namespace hici::io::gguf
