// SPDX-License-Identifier: Apache-2.0
// Hugging Face model directories: config.json, weights in one file or in shards, safetensors or .bin. HiCI modules of
// the model may lie in hici_modules.safetensors, where other programs do not look. Opening reads headers only;
// check_against() compares every tensor with what a model wants before memory for any is taken.
#pragma once

#include "hici/config/model_config.h"
#include "hici/io/checkpoint/folder_check.h"
#include "hici/io/directory_writer.h"
#include "hici/io/safetensors.h"
#include "hici/io/tensor_source.h"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace hici::io {

struct ExpectedTensor {
  std::string name;
  std::vector<int64_t> shape;
};

// What a model of this config is made of, in the order of the decoder; a tied model has no lm_head.
std::vector<ExpectedTensor> expected_tensors(const config::ModelConfig& config);

constexpr const char* kHiciModulesStem = "hici_modules";

class ModelDirectory {
 public:
  // Names what is missing: the folder, config.json, the weights, a shard.
  static ModelDirectory open(const std::filesystem::path& path);
  // What is no such directory: `path` is for messages.
  static ModelDirectory of(const std::filesystem::path& path, const config::ModelConfig& config,
                           std::shared_ptr<const TensorSource> weights);

  const std::filesystem::path& path() const { return path_; }
  const config::ModelConfig& config() const { return config_; }
  const TensorSource& weights() const { return *weights_; }
  // Waits until what was read of a checkpoint is known to be what its manifest says; an error where it is not.
  void finish_checks() const { check_->finish(); }
  const FolderCheck& check() const { return *check_; }
  // The files with data, for hashing.
  const std::vector<std::filesystem::path>& weight_files() const { return weight_files_; }

  // The same model with more rows in embedding and head; each new one is the mean of the old ones, as the research code
  // has it (smart_tokenizer_and_embedding_resize). vocabulary.h says when.
  void extend_vocabulary(int64_t rows);
  // A tied model as one with a head of its own, which has the values of the embedding.
  void untie_head();

  // Every expected tensor is there with its shape and a floating type, and nothing else is, but for what transformers
  // writes and nobody reads (rotary_emb.inv_freq, the copy of a tied lm_head).
  void check_against(const std::vector<ExpectedTensor>& expected) const;

 private:
  std::filesystem::path path_;
  config::ModelConfig config_;
  std::shared_ptr<FolderCheck> check_;
  std::shared_ptr<const TensorSource> weights_;
  std::vector<std::filesystem::path> weight_files_;
};

struct ModelToWrite {
  config::ModelConfig config;
  std::vector<TensorToWrite> tensors;
  // Its tokenizer files and generation_config.json are copied; empty: none.
  std::filesystem::path copy_from = {};
  // What this folder has of them goes before that, and a line says so: a tokenizer as a whole, with its chat templates;
  // without one a chat template alone. An adapter's.
  std::filesystem::path copy_first = {};
  uint64_t max_shard_bytes = uint64_t{5} << 30;
};

// Its files into the working folder of a directory that the caller publishes, and what they take on disk.
void write_model_files(DirectoryWriter& writer, ModelToWrite model);
uint64_t model_bytes(const ModelToWrite& model);

// The whole directory is built beside `path` and renamed: `path` must not exist, or be an empty folder. Space is
// checked first.
void write_model_directory(const std::filesystem::path& path, ModelToWrite model);

}  // namespace hici::io
