// SPDX-License-Identifier: Apache-2.0
#include "hici/io/model_directory.h"

#include "hici/base/json.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"
#include "support/tiny_config.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <fstream>

namespace hici::io {
namespace {

using nlohmann::json;
using testing::TemporaryFolder;

config::ModelConfig small(config::Family family = config::Family::kLlama, bool is_tied = false) {
  config::ModelConfig c = testing::tiny_config(
      {.vocabulary = 11, .hidden = 8, .layers = 2, .heads = 4, .kv_heads = 2, .positions = 32}, family);
  c.head_dim = 4;
  c.tie_word_embeddings = is_tied;
  return c;
}

std::vector<TensorToWrite> tensors_of(const config::ModelConfig& c) {
  std::vector<TensorToWrite> out;
  for (const ExpectedTensor& tensor : expected_tensors(c)) out.emplace_back(tensor.name, at::randn(tensor.shape));
  return out;
}

void write_small(const fs::path& path, const config::ModelConfig& c, uint64_t max_shard_bytes = 1 << 30) {
  write_model_directory(path,
                        {.config = c, .tensors = tensors_of(c), .copy_from = {}, .max_shard_bytes = max_shard_bytes});
}

void check(const fs::path& path) {
  const ModelDirectory model = ModelDirectory::open(path);
  model.check_against(expected_tensors(model.config()));
}

TEST(ModelDirectoryTest, CountsTheParametersOfItsTensors) {
  for (const auto& c : {small(), small(config::Family::kQwen3, true)}) {
    int64_t count = 0;
    for (const ExpectedTensor& tensor : expected_tensors(c))
      count += TensorInfo{at::kFloat, tensor.shape}.num_elements();
    EXPECT_EQ(count, c.num_parameters());
  }
}

TEST(ModelDirectoryTest, SingleAndShardedReadBack) {
  const TemporaryFolder folder;
  for (const uint64_t max_shard_bytes : {uint64_t{1} << 30, uint64_t{1000}}) {
    const fs::path path = folder / std::to_string(max_shard_bytes);
    const config::ModelConfig c = small(config::Family::kQwen3);
    const std::vector<TensorToWrite> tensors = tensors_of(c);
    write_model_directory(path, {.config = c, .tensors = tensors, .copy_from = {}, .max_shard_bytes = max_shard_bytes});
    const ModelDirectory model = ModelDirectory::open(path);
    EXPECT_EQ(model.weight_files().size() > 1, max_shard_bytes == 1000);
    EXPECT_NO_THROW(model.check_against(expected_tensors(c)));
    for (const TensorToWrite& tensor : tensors)
      EXPECT_TRUE(at::equal(model.weights().read(tensor.name), tensor.load())) << tensor.name;
  }
}

TEST(ModelDirectoryTest, CopiesTheTokenizerAndPublishesAtOnce) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "base");
  for (const char* name : {"tokenizer.json", "generation_config.json", "README.md"})
    std::ofstream(folder / "base" / name) << name;
  write_model_directory(folder / "out/",
                        {.config = small(), .tensors = tensors_of(small()), .copy_from = folder / "base"});
  EXPECT_EQ(read_file(folder / "out/tokenizer.json", 100), "tokenizer.json");
  EXPECT_TRUE(fs::exists(folder / "out/generation_config.json"));
  EXPECT_FALSE(fs::exists(folder / "out/README.md"));
  EXPECT_ERROR_SAYS(write_small(folder / "out", small()),
                    "out: exists and is not empty; choose another output directory");
  std::vector<TensorToWrite> broken = tensors_of(small());
  broken.back().load = []() -> at::Tensor { fail("the last tensor cannot be had"); };
  EXPECT_ERROR_SAYS(write_model_directory(folder / "new", {.config = small(), .tensors = broken}), "cannot be had");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()),
            2);  // base and out: no half of `new`
}

TEST(ModelDirectoryTest, NamesWhatIsMissing) {
  const TemporaryFolder folder;
  EXPECT_ERROR_SAYS(ModelDirectory::open(folder / "none"), "none: is no directory");
  EXPECT_ERROR_SAYS(ModelDirectory::open(folder.path()), "has no config.json");
  write_small(folder / "m", small(), 1000);
  const json index = read_json_file(folder / "m/model.safetensors.index.json");
  const std::string shard = index["weight_map"]["model.norm.weight"];
  fs::remove(folder / "m" / shard);
  EXPECT_ERROR_SAYS(ModelDirectory::open(folder / "m"), "names shard " + shard + ", which is missing; fetch it again");
  for (const auto& file : fs::directory_iterator(folder / "m"))
    if (file.path().extension() == ".safetensors" || file.path().filename() == "model.safetensors.index.json")
      fs::remove(file);
  EXPECT_ERROR_SAYS(ModelDirectory::open(folder / "m"),
                    "m: has config.json and no weights; expected model.safetensors");
}

TEST(ModelDirectoryTest, ShardNamesStayInTheFolder) {
  const TemporaryFolder folder;
  write_small(folder / "m", small(), 1000);
  const fs::path index = folder / "m/model.safetensors.index.json";
  json value = read_json_file(index);
  for (const char* name : {"../x.safetensors", "/etc/passwd", "a/b", ""}) {
    json bad = value;
    bad["weight_map"]["model.norm.weight"] = name;
    std::ofstream(index) << bad;
    EXPECT_ERROR_SAYS(ModelDirectory::open(folder / "m"), "expected the plain name of a file in the same folder");
  }
  value["weight_map"]["model.norm.bias"] = value["weight_map"]["model.norm.weight"];
  std::ofstream(index) << value;
  EXPECT_ERROR_SAYS(ModelDirectory::open(folder / "m"),
                    "has no tensor 'model.norm.bias', which model.safetensors.index.json says it has");
}

TEST(ModelDirectoryTest, ComparesEveryTensorWithTheConfig) {
  const TemporaryFolder folder;
  write_small(folder / "m", small());
  const auto with_config = [&](const std::string& key, const json& item) {
    json value = config::to_json(small());
    value[key] = item;
    std::ofstream(folder / "m/config.json") << value;
  };
  with_config("intermediate_size", 16);
  EXPECT_ERROR_SAYS(check(folder / "m"),
                    "model.safetensors: tensor 'model.layers.0.mlp.gate_proj.weight' is [12, 8], expected [16, 8]; "
                    "config.json says hidden_size 8, intermediate_size 16");
  with_config("num_hidden_layers", 3);
  EXPECT_ERROR_SAYS(check(folder / "m"),
                    "m: has no tensor 'model.layers.2.self_attn.q_proj.weight', which config.json implies");
  with_config("num_hidden_layers", 1);
  EXPECT_ERROR_SAYS(check(folder / "m"), "has no place in a llama of 1 layers");
  with_config("tie_word_embeddings", true);
  EXPECT_NO_THROW(check(folder / "m"));  // the copy of the tied head is let be
}

TEST(ModelDirectoryTest, AMissingHeadAndIntegerWeightsAreSaid) {
  const TemporaryFolder folder;
  config::ModelConfig tied = small(config::Family::kLlama, true);
  std::vector<TensorToWrite> tensors = tensors_of(tied);
  tensors.emplace_back("model.layers.0.self_attn.rotary_emb.inv_freq", at::ones({2}));
  tied.tie_word_embeddings = false;
  write_model_directory(folder / "m", {.config = tied, .tensors = tensors});
  EXPECT_ERROR_SAYS(check(folder / "m"),
                    "has no tensor 'lm_head.weight', and config.json says tie_word_embeddings false");
  tensors.emplace_back("lm_head.weight", at::ones({11, 8}, at::kChar));
  write_model_directory(folder / "n", {.config = tied, .tensors = tensors});
  EXPECT_ERROR_SAYS(check(folder / "n"), "tensor 'lm_head.weight' has type I8, expected a floating type");
}

}  // namespace
}  // namespace hici::io
