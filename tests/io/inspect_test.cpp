// SPDX-License-Identifier: Apache-2.0
#include "hici/io/inspect.h"

#include "hici/base/file.h"
#include "hici/io/adapter.h"
#include "hici/io/inspect_text.h"
#include "hici/io/model_directory.h"
#include "hici/io/random_model.h"
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

RandomModel small_model() {
  RandomModel model;
  model.config =
      testing::tiny_config({.vocabulary = 11, .hidden = 8, .layers = 2, .heads = 2, .kv_heads = 2, .positions = 32});
  model.seed = 7;
  return model;
}

TEST(RandomModelTest, TheSeedDecidesEveryByte) {
  const TemporaryFolder folder;
  RandomModel other = small_model();
  other.seed = 8;
  write_random_model(folder / "a", small_model());
  write_random_model(folder / "b", small_model());
  write_random_model(folder / "c", other);
  const auto bytes = [&](const char* name) { return read_file(folder / name / "model.safetensors", 1 << 20); };
  EXPECT_EQ(bytes("a"), bytes("b"));
  EXPECT_NE(bytes("a"), bytes("c"));
}

TEST(RandomModelTest, IsInitialisedAsTransformersDoes) {
  const TemporaryFolder folder;
  RandomModel model = small_model();
  model.config.vocab_size = 5000;
  write_random_model(folder / "m", model);
  const ModelDirectory read = ModelDirectory::open(folder / "m");
  EXPECT_NO_THROW(read.check_against(expected_tensors(model.config)));
  const at::Tensor embedding = read.weights().read("model.embed_tokens.weight");
  EXPECT_NEAR(embedding.std().item<double>(), 0.02, 0.001);
  EXPECT_NEAR(embedding.mean().item<double>(), 0, 0.001);
  EXPECT_TRUE(at::equal(read.weights().read("model.norm.weight"), at::ones({8})));
}

TEST(TokenizerFactsTest, CountsAddedTokensAndFindsTheNamedOnes) {
  const TemporaryFolder folder;
  EXPECT_ERROR_SAYS(read_tokenizer_facts(folder.path()), "has no tokenizer.json");
  std::ofstream(folder / "tokenizer.json")
      << R"({"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": [{"content": "<s>", "id": 4}, {"content": "</s>", "id": 2}]})";
  EXPECT_EQ(read_tokenizer_facts(folder.path()).vocab_size, 5);
  EXPECT_EQ(read_tokenizer_facts(folder.path()).bos_token_id, std::nullopt);
  std::ofstream(folder / "tokenizer_config.json") << R"({"bos_token": "<s>", "eos_token": {"content": "</s>"}})";
  EXPECT_EQ(read_tokenizer_facts(folder.path()).bos_token_id, 4);
  EXPECT_EQ(read_tokenizer_facts(folder.path()).eos_token_id, 2);
}

TEST(InspectTest, ShowsAModelAndItsProblems) {
  const TemporaryFolder folder;
  write_random_model(folder / "m", small_model());
  json report = inspect_path({.path = folder / "m"});
  EXPECT_EQ(report["kind"], "model directory");
  EXPECT_EQ(report["parameters"]["total"], small_model().config.num_parameters());
  EXPECT_EQ(report["parameters"]["groups"]["norm"], 8 * 5);
  EXPECT_EQ(report["rope"]["reach"], 32);
  EXPECT_TRUE(report["problems"].empty());
  EXPECT_NE(inspection_text(report).find("model.layers.{}.mlp.up_proj.weight [12,8] F32 x2"), std::string::npos);
  config::ModelConfig other = small_model().config;
  other.num_hidden_layers = 3;
  std::ofstream(folder / "m/config.json") << config::to_json(other);
  report = inspect_path({.path = folder / "m"});
  ASSERT_EQ(report["problems"].size(), 1U);
  EXPECT_NE(inspection_text(report).find("has no tensor 'model.layers.2.self_attn.q_proj.weight'"), std::string::npos);
}

TEST(InspectTest, ShowsAnAdapterAndWhetherItFits) {
  const TemporaryFolder folder;
  write_random_model(folder / "m", small_model());
  const std::string layer = "model.layers.0.self_attn.q_proj";
  AdapterToWrite adapter;
  adapter.lora_tensors = {{layer + ".lora_A.weight", at::ones({8, 16})}, {layer + ".lora_B.weight", at::ones({8, 8})}};
  write_adapter(folder / "a", adapter);
  const json report = inspect_path({.path = folder / "a", .base_model = folder / "m"});
  EXPECT_EQ(report["kind"], "adapter");
  EXPECT_EQ(report["lora"]["targets"], json({"q_proj"}));
  ASSERT_EQ(report["problems"].size(), 1U);
  EXPECT_NE(report["problems"][0].get<std::string>().find("is [8, 16], expected [8, 8]"), std::string::npos);
}

TEST(InspectTest, TellsWeightsFromTokens) {
  const TemporaryFolder folder;
  std::ofstream(folder / "tokens.bin") << std::string("\1\0\2\0\3\0", 6);
  const json tokens = inspect_path({.path = folder / "tokens.bin", .token_type = data::TokenType::kUint16});
  EXPECT_EQ(tokens["kind"], "token file");
  EXPECT_EQ(tokens["tokens"]["count"], 3);
  EXPECT_EQ(tokens["tokens"]["largest_id"], 3);
  EXPECT_EQ(tokens["problems"].size(), 1U);  // no sidecar
  write_safetensors(folder / "w.safetensors", {{"t", at::ones({3})}});
  EXPECT_EQ(inspect_path({.path = folder / "w.safetensors"})["kind"], "file of weights");
  EXPECT_ERROR_SAYS(inspect_path({.path = folder / "none"}), "none: is not there");
  EXPECT_ERROR_SAYS(inspect_path({.path = folder.path()}), "nothing here that hici reads");
}

TEST(InspectTest, TakesNoFileForTokensThatNobodyCallsSo) {
  const TemporaryFolder folder;
  for (const char* name : {"ids.bin", "picture.png", "notes"}) std::ofstream(folder / name) << "12345678";
  std::ofstream(folder / "odd.bin") << "123";
  const json report = inspect_path({.path = folder / "ids.bin"});
  EXPECT_EQ(report["kind"], "perhaps a token file");
  EXPECT_NE(inspection_text(report).find("8 bytes, which may be 4 token ids of uint16 or 2 of uint32, and no "
                                         "ids.bin.json says so; give `token_type`"),
            std::string::npos);
  for (const char* name : {"picture.png", "notes", "odd.bin"})
    EXPECT_ERROR_SAYS(inspect_path({.path = folder / name}), std::string(name) + ": is no file that hici knows");
}

TEST(InspectTest, NamesATokenizerAndListsCheckpointsByStep) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "t");
  std::ofstream(folder / "t/tokenizer.json") << R"({"model": {"vocab": {"a": 0, "b": 1}}, "added_tokens": []})";
  for (const fs::path& path : {folder / "t", folder / "t/tokenizer.json"}) {
    const json report = inspect_path({.path = path});
    EXPECT_EQ(report["kind"], "tokenizer");
    EXPECT_EQ(report["tokenizer"]["vocab_size"], 2);
    EXPECT_EQ(report["tokenizer"]["files"], json({"tokenizer.json"}));
    EXPECT_TRUE(report["problems"].empty());
  }
  for (const char* name : {"checkpoint-100", "checkpoint-20", "checkpoint-3", "best"}) {
    fs::create_directories(folder / "run" / name);
    std::ofstream(folder / "run" / name / "manifest.json") << "{}";
  }
  EXPECT_EQ(inspect_path({.path = folder / "run"})["checkpoints"],
            json({"checkpoint-3", "checkpoint-20", "checkpoint-100", "best"}));
}

TEST(InspectTest, ComparesAnAdapterWithItsBaseAndSaysWhatItDidNotLookAt) {
  const TemporaryFolder folder;
  write_random_model(folder / "m", small_model());
  RandomModel another = small_model();
  another.seed = 8;
  write_random_model(folder / "other", another);
  const std::string layer = "model.layers.0.self_attn.q_proj", norm = "model.norm.weight",
                    up = "model.layers.0.mlp.up_proj.weight";
  const ModelDirectory base = ModelDirectory::open(folder / "m");
  AdapterToWrite adapter;
  adapter.lora_tensors = {{layer + ".lora_A.weight", at::ones({8, 8})}, {layer + ".lora_B.weight", at::ones({8, 8})}};
  adapter.identity.emplace();
  for (const std::string& name : {norm, up}) {
    base.weights().read(name);
    adapter.identity->base[name] = base.weights().content_of(name);
  }
  adapter.identity->config = {{"rms_norm_eps", "0.25"}};  // of no model of these
  write_adapter(folder / "a", adapter);
  json report = inspect_path({.path = folder / "a", .base_model = folder / "m"});
  ASSERT_EQ(report["problems"].size(), 1U) << report["problems"];
  EXPECT_NE(report["problems"][0].get<std::string>().find("another config.json"), std::string::npos);
  EXPECT_EQ(report["base"]["config"].get<std::string>().substr(0, 35), "another: rms_norm_eps was 0.25 and ");
  adapter.identity->config.clear();
  fs::remove_all(folder / "a");
  write_adapter(folder / "a", adapter);
  report = inspect_path({.path = folder / "a", .base_model = folder / "m"});
  EXPECT_EQ(report["base"]["weights"], "equal in 2 tensors");
  EXPECT_EQ(report["base"]["config"], "not known");
  EXPECT_EQ(report["base"]["tokenizer"], "not known");
  EXPECT_TRUE(report["problems"].empty()) << report["problems"];
  EXPECT_NE(inspection_text(report).find("problems    none, values of tensors not looked at"), std::string::npos);
  report = inspect_path({.path = folder / "a", .base_model = folder / "other"});
  EXPECT_EQ(report["base"]["weights"], "another base: 1 of 2 tensors differ, '" + up + "' first");
  EXPECT_EQ(report["problems"].size(), 1U);
  report = inspect_path({.path = folder / "m", .base_model = folder / "other"});
  ASSERT_EQ(report["problems"].size(), 1U);
  EXPECT_NE(report["problems"][0].get<std::string>().find("is no adapter (model directory)"), std::string::npos);
}

TEST(InspectTest, NamesWhatWasBeingWritten) {
  const TemporaryFolder folder;
  fs::create_directory(folder / "m.hici-tmp-0000000000000001");
  fs::create_directory(folder / "other.hici-tmp-0000000000000001");
  const json missing = inspect_path({.path = folder / "m/"});
  EXPECT_EQ(missing["kind"], "not there");
  ASSERT_EQ(missing["leftovers"].size(), 1U);
  EXPECT_NE(inspection_text(missing).find("m.hici-tmp-0000000000000001: left by a process that ended early"),
            std::string::npos);
  write_random_model(folder / "m", small_model());  // and removes it
  EXPECT_FALSE(inspect_path({.path = folder / "m"}).contains("leftovers"));
  const AtomicFile live(folder / "m/config.json");
  fs::create_directory(folder / "m/checkpoint-3.tmp");
  const json report = inspect_path({.path = folder / "m"});
  ASSERT_EQ(report["leftovers"].size(), 2U);
  EXPECT_EQ(report["leftovers"][0]["in_use"], true);
  EXPECT_EQ(report["leftovers"][1]["in_use"], false);
  EXPECT_EQ(report["leftovers"][1]["path"], (folder / "m/checkpoint-3.tmp").string());
  EXPECT_TRUE(report["problems"].empty()) << "the model itself is whole";
  EXPECT_EQ(inspect_path({.path = folder.path()})["kind"], "directory");
}

TEST(InspectTest, ShardsOfFsdpAreNamed) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "c/pytorch_model_fsdp_0");
  write_file_atomically(folder / "c/pytorch_model_fsdp_0/__0_0.distcp", "x");
  for (const char* path : {"c", "c/pytorch_model_fsdp_0"})
    EXPECT_ERROR_SAYS(inspect_path({.path = folder / path}), "merge-weights " +
                                                                 (folder / "c/pytorch_model_fsdp_0").string() + " " +
                                                                 (folder / "c").string() + "', which makes");
}

}  // namespace
}  // namespace hici::io
