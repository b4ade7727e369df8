// SPDX-License-Identifier: Apache-2.0
#include "hici/io/adapter.h"
#include "hici/io/adapter_check.h"

#include "hici/base/file.h"
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

const std::string kAttention = "model.layers.0.self_attn.";

config::ModelConfig base() {
  return testing::tiny_config({.vocabulary = 11, .hidden = 8, .layers = 1, .heads = 2, .kv_heads = 2, .positions = 32});
}

// M 3, K 2, width 6, Cs 4.
AdapterToWrite adapter() {
  AdapterToWrite out;
  out.lora = {.rank = 2, .alpha = 16, .targets = {"q_proj"}};
  out.settings.hici = {.num_segments = 2,
                       .num_local_slots = 3,
                       .global_slots = 2,
                       .num_heads = 2,
                       .bottleneck_dim = 6,
                       .shared_compress_dim = 4};
  out.settings.context_size = 64;
  out.settings.rope_factor = 2;
  out.base_model = "../base";
  for (const auto& [layer, rows, columns] : {std::tuple{"q_proj", 8, 8}, {"local_constructor.q_proj", 6, 8}}) {
    out.lora_tensors.emplace_back(kAttention + layer + ".lora_A.weight", at::randn({2, columns}));
    out.lora_tensors.emplace_back(kAttention + layer + ".lora_B.weight", at::randn({rows, 2}));
  }
  const std::string local = kAttention + "local_constructor.", global = kAttention + "global_integrator.";
  out.trainables = {
      {"model.embed_tokens.weight", at::randn({11, 8})}, {local + "memory_slots", at::randn({3, 8})},
      {local + "q_proj.weight", at::randn({6, 8})},      {local + "o_proj.weight", at::randn({8, 6})},
      {global + "global_queries", at::randn({2, 6})},    {global + "shared_compressor.0.weight", at::randn({4, 8})}};
  return out;
}

std::vector<std::string> names_in(const TensorSource& source) {
  std::vector<std::string> out;
  for (const auto& [name, ignored] : source.tensors()) out.push_back(name);
  return out;
}

TEST(AdapterTest, RoundTrips) {
  const TemporaryFolder folder;
  const AdapterToWrite written = adapter();
  write_adapter(folder / "a", written);
  const Adapter read = read_adapter(folder / "a");
  config::LoraConfig expected = written.lora;
  expected.modules = {kAttention + "q_proj", kAttention + "local_constructor.q_proj"};
  EXPECT_EQ(read.lora, expected);
  EXPECT_EQ(read.base_model, "../base");
  ASSERT_TRUE(read.settings);
  EXPECT_EQ(read.settings->hici, written.settings.hici);
  EXPECT_EQ(read.settings->rope_factor, 2);
  EXPECT_EQ(read.settings->context_size, 64);
  EXPECT_EQ(read.hici_config(), written.settings.hici);
  EXPECT_EQ(read.files.size(), 2U);
  EXPECT_NO_THROW(check_adapter(read, base()));
  for (const TensorToWrite& tensor : written.lora_tensors)
    EXPECT_TRUE(at::equal(read.lora_tensors->read(tensor.name), tensor.load()));
  for (const TensorToWrite& tensor : written.trainables)
    EXPECT_TRUE(at::equal(read.trainables->read(tensor.name), tensor.load()));
}

TEST(AdapterTest, WritesOnlyKeysThatPeftKnows) {
  const TemporaryFolder folder;
  write_adapter(folder / "a", adapter());
  const json config = read_json_file(folder / "a/adapter_config.json");
  EXPECT_EQ(config["lora_alpha"], 16);
  EXPECT_TRUE(config["lora_alpha"].is_number_integer());
  for (const auto& [key, ignored] : config.items()) EXPECT_EQ(key.find("hici"), std::string::npos) << key;
  const auto names = names_in(SafetensorsFile(folder / "a/adapter_model.safetensors"));
  EXPECT_EQ(names.front(), "base_model.model.model.layers.0.self_attn.local_constructor.q_proj.lora_A.weight");
}

TEST(AdapterTest, ShapesFollowFromTheTensorsWhenNothingElseSaysThem) {
  const TemporaryFolder folder;
  write_adapter(folder / "a", adapter());
  fs::remove(folder / "a/hici_config.json");
  const Adapter read = read_adapter(folder / "a");
  EXPECT_FALSE(read.settings);
  config::HiciConfig wanted = adapter().settings.hici;
  wanted.num_segments = 7;
  wanted.num_heads = 3;
  EXPECT_EQ(read.hici_config({.num_segments = 7, .num_heads = 3}), wanted);
}

TEST(AdapterTest, SettingsThatContradictTheTensorsAreRefused) {
  const TemporaryFolder folder;
  AdapterToWrite wrong = adapter();
  wrong.settings.hici.num_local_slots = 4;
  write_adapter(folder / "a", wrong);
  EXPECT_ERROR_SAYS(read_adapter(folder / "a").hici_config(),
                    "hici_config.json: its sizes are not those of the tensors (3 local");
}

TEST(AdapterTest, EverySpellingOfANameIsRead) {
  EXPECT_EQ(plain_tensor_name("base_model.model.model.layers.0.self_attn.q_proj.lora_A.default.weight"),
            "model.layers.0.self_attn.q_proj.lora_A.weight");
  EXPECT_EQ(plain_tensor_name("base_model.model.model.layers.0.self_attn.q_proj.base_layer.weight"),
            "model.layers.0.self_attn.q_proj.weight");
  EXPECT_EQ(plain_tensor_name("base_model.model.model.embed_tokens.modules_to_save.default.weight"),
            "model.embed_tokens.weight");
  EXPECT_EQ(plain_tensor_name("base_model.model.model.embed_tokens.original_module.weight"), "");
  EXPECT_EQ(plain_tensor_name("model.norm.weight"), "model.norm.weight");
}

TEST(AdapterTest, ReadsAFullDump) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "a");
  const std::string peft = "base_model.model." + kAttention;
  write_safetensors(folder / "a/model.safetensors", {{peft + "q_proj.base_layer.weight", at::ones({8, 8})},
                                                     {peft + "q_proj.lora_A.default.weight", at::ones({2, 8})},
                                                     {peft + "q_proj.lora_B.default.weight", at::ones({8, 2})}});
  EXPECT_ERROR_SAYS(read_adapter(folder / "a"), "has LoRA tensors and no adapter_config.json");
  const Adapter with_alpha = read_adapter(folder / "a", {.lora_alpha = 8});
  EXPECT_EQ(with_alpha.lora.rank, 2);
  EXPECT_EQ(with_alpha.lora.scale(), 4);
  std::ofstream(folder / "a/adapter_config.json")
      << R"({"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"], "peft_version": "0.21.2"})";
  const Adapter read = read_adapter(folder / "a");
  EXPECT_EQ(read.lora.scale(), 2);
  EXPECT_EQ(names_in(*read.trainables), std::vector<std::string>{kAttention + "q_proj.weight"});
  EXPECT_EQ(read.lora_tensors->tensors().size(), 2U);
  EXPECT_NO_THROW(check_adapter(read, base()));
  EXPECT_EQ(read.hici_config(), std::nullopt);
}

TEST(AdapterTest, AnotherModelsAdapterIsRefused) {
  const TemporaryFolder folder;
  write_adapter(folder / "a", adapter());
  config::ModelConfig wider = base();
  wider.hidden_size = 16;
  EXPECT_ERROR_SAYS(
      check_adapter(read_adapter(folder / "a"), wider),
      "tensor 'model.embed_tokens.weight' is [11, 8], the base model has [11, 16]; the adapter is for another model");
  AdapterToWrite more_rows = adapter();
  more_rows.trainables[0] = {"model.embed_tokens.weight", at::randn({12, 8})};
  write_adapter(folder / "b", more_rows);
  EXPECT_NO_THROW(check_adapter(read_adapter(folder / "b"), base()));
  AdapterToWrite wrong_rank = adapter();
  wrong_rank.lora.rank = 4;
  write_adapter(folder / "c", wrong_rank);
  EXPECT_ERROR_SAYS(read_adapter(folder / "c"), "is [2, 8], so its rank is 2; ");
  EXPECT_ERROR_SAYS(read_adapter(folder / "c"), "adapter_config.json says r 4, do the files belong");
  AdapterToWrite alone = adapter();
  alone.lora_tensors.pop_back();
  write_adapter(folder / "d", alone);
  EXPECT_ERROR_SAYS(check_adapter(read_adapter(folder / "d"), base()), "has no partner");
}

TEST(AdapterTest, AlphaIsSaidOnce) {
  const TemporaryFolder folder;
  write_adapter(folder / "a", adapter());
  EXPECT_NO_THROW(read_adapter(folder / "a", {.lora_alpha = 16}));
  EXPECT_ERROR_SAYS(read_adapter(folder / "a", {.lora_alpha = 8}),
                    "adapter_config.json: lora_alpha is 16, and `lora_alpha` says 8");
}

TEST(AdapterTest, HalfOfThePairIsRefusedWithWhatMakesTheOther) {
  const TemporaryFolder folder;
  write_adapter(folder / "a", adapter());
  fs::rename(folder / "a/trainable_params.safetensors", folder / "trainable_params.safetensors");
  EXPECT_ERROR_SAYS(read_adapter(folder / "a"), "has adapter_model and no trainable_params");
  EXPECT_ERROR_SAYS(read_adapter(folder / "a"), "make it with hici extract from the checkpoint's full dump");
  write_safetensors(folder / "a/model.safetensors", {{"base_model.model.model.norm.weight", at::ones({8})}});
  EXPECT_ERROR_SAYS(read_adapter(folder / "a"),
                    "make it with hici extract `checkpoint_path` " + (folder / "a").string());
  fs::remove(folder / "a/model.safetensors");
  fs::create_directory(folder / "a/global_step1000");
  EXPECT_ERROR_SAYS(read_adapter(folder / "a"), "fetch all of its training checkpoint of DeepSpeed (global_step1000)");
  fs::rename(folder / "trainable_params.safetensors", folder / "a/trainable_params.safetensors");
  EXPECT_NO_THROW(read_adapter(folder / "a"));
  fs::remove(folder / "a/adapter_model.safetensors");
  EXPECT_ERROR_SAYS(read_adapter(folder / "a"), "has trainable_params and adapter_config.json, and no adapter_model");
}

// What PEFT itself saves has no second half.
TEST(AdapterTest, LoraOnAttentionAloneIsWhole) {
  const TemporaryFolder folder;
  AdapterToWrite plain = adapter();
  plain.lora_tensors.erase(plain.lora_tensors.begin() + 2, plain.lora_tensors.end());
  plain.trainables.clear();
  write_adapter(folder / "a", plain);
  EXPECT_NO_THROW(check_adapter(read_adapter(folder / "a"), base()));
}

// With rows added, PEFT's save_pretrained() puts embedding and head beside the factors.
TEST(AdapterTest, WholeParametersMayLieInBothFiles) {
  const TemporaryFolder folder;
  AdapterToWrite written = adapter();
  const at::Tensor trained = written.trainables[0].load(), head = at::randn({11, 8});
  written.lora_tensors.emplace_back("model.embed_tokens.weight", at::zeros({11, 8}));
  written.lora_tensors.emplace_back("lm_head.weight", head);
  write_adapter(folder / "a", written);
  const Adapter read = read_adapter(folder / "a");
  EXPECT_TRUE(at::equal(read.trainables->read("model.embed_tokens.weight"), trained));
  EXPECT_TRUE(at::equal(read.trainables->read("lm_head.weight"), head));
  EXPECT_EQ(read.lora_tensors->tensors().size(), adapter().lora_tensors.size());
  EXPECT_NO_THROW(check_adapter(read, base()));
  written.lora_tensors[written.lora_tensors.size() - 2] = {"model.embed_tokens.weight", at::zeros({12, 8})};
  write_adapter(folder / "b", written);
  EXPECT_ERROR_SAYS(read_adapter(folder / "b"), "'model.embed_tokens.weight' is [11, 8], in ");
}

TEST(AdapterTest, CheckpointsThatAreNoAdapterAreNamed) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "a/global_step7");
  EXPECT_ERROR_SAYS(read_adapter(folder / "a"), "global_step7: has no ..._model_states.pt; fetch the files of all");
  fs::create_directories(folder / "a/global_step12");
  EXPECT_ERROR_SAYS(read_adapter(folder / "a"), "a: holds global_step7, global_step12 and no file `latest`");
  write_file_atomically(folder / "a/latest", "global_step9\n");
  EXPECT_ERROR_SAYS(read_adapter(folder / "a"), "latest: names global_step9, and here is global_step7, global_step12;");
  fs::remove_all(folder / "a/global_step7");
  fs::remove_all(folder / "a/global_step12");
  EXPECT_ERROR_SAYS(read_adapter(folder / "a"), "its training checkpoint (global_step9) is not in it; fetch that");
  fs::create_directories(folder / "b/pytorch_model_fsdp_0");
  write_file_atomically(folder / "b/pytorch_model_fsdp_0/__0_0.distcp", "x");
  EXPECT_ERROR_SAYS(read_adapter(folder / "b"), "pytorch_model_fsdp_0: holds shards of FSDP (*.distcp), which are not");
  EXPECT_ERROR_SAYS(read_adapter(folder / "b"), "run 'accelerate merge-weights ");
  fs::create_directories(folder / "c");
  write_file_atomically(folder / "c/mp_rank_00_model_states.pt", "x");
  EXPECT_ERROR_SAYS(read_adapter(folder / "c"), "c: is the inside of a training checkpoint of DeepSpeed; give ");
}

TEST(AdapterTest, WritesBinFilesThatItReads) {
  const TemporaryFolder folder;
  AdapterToWrite written = adapter();
  written.format = AdapterFormat::kBin;
  written.trainables.emplace_back("model.layers.0.self_attn.global_integrator.expand_scale_param", at::ones({}));
  written.trainables.emplace_back("model.norm.weight", at::randn({8}).to(at::kBFloat16));
  written.trainables.emplace_back("model.layers.0.input_layernorm.weight", at::randn({8}).to(at::kHalf));
  write_adapter(folder / "a", written);
  EXPECT_TRUE(fs::exists(folder / "a/adapter_model.bin") && fs::exists(folder / "a/trainable_params.bin"));
  const Adapter read = read_adapter(folder / "a");
  for (const TensorToWrite& tensor : written.trainables) {
    EXPECT_EQ(read.trainables->info(tensor.name).dtype, tensor.dtype);
    EXPECT_TRUE(at::equal(read.trainables->read(tensor.name), tensor.load())) << tensor.name;
  }
  for (const TensorToWrite& tensor : written.lora_tensors)
    EXPECT_TRUE(at::equal(read.lora_tensors->read(tensor.name), tensor.load())) << tensor.name;
}

// Read as an adapter, its weights were taken and its HiCI modules were not.
TEST(AdapterTest, AModelThatWasMergedWithItsModulesIsNoAdapter) {
  const TemporaryFolder folder;
  write_adapter(folder / "a", adapter());
  std::ofstream(folder / "a/hici_modules.safetensors") << "x";
  EXPECT_ERROR_SAYS(read_adapter(folder / "a"), "is a merged model with its HiCI modules and no adapter");
}

TEST(AdapterTest, SaysWhatItDoesNotSupport) {
  const TemporaryFolder folder;
  EXPECT_ERROR_SAYS(read_adapter(folder.path()), "holds no adapter; expected adapter_model.safetensors");
  EXPECT_FALSE(is_adapter_directory(folder.path()));
  write_adapter(folder / "a", adapter());
  EXPECT_TRUE(is_adapter_directory(folder / "a"));
  const json good = read_json_file(folder / "a/adapter_config.json");
  for (const auto& [key, value] : std::map<std::string, json>{{"peft_type", "IA3"},
                                                              {"bias", "some"},
                                                              {"use_qalora", true},
                                                              {"alora_invocation_tokens", {1, 2}},
                                                              {"init_lora_weights", "pissa"},
                                                              {"rank_pattern", {{"(?=q)", 4}}},
                                                              {"unknown_to_us", {1}}}) {
    json bad = good;
    bad[key] = value;
    std::ofstream(folder / "a/adapter_config.json") << bad;
    EXPECT_ERROR_SAYS(read_adapter(folder / "a"), "adapter_config.json: " + key);
  }
}

}  // namespace
}  // namespace hici::io
