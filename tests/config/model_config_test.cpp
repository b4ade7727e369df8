// SPDX-License-Identifier: Apache-2.0
#include "hici/config/model_config.h"

#include "hici/base/json.h"
#include "hici/config/rope.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <fstream>

namespace hici::config {
namespace {

using nlohmann::json;

json llama() {
  return {{"architectures", {"LlamaForCausalLM"}},
          {"model_type", "llama"},
          {"vocab_size", 32000},
          {"hidden_size", 4096},
          {"intermediate_size", 11008},
          {"num_hidden_layers", 32},
          {"num_attention_heads", 32},
          {"rms_norm_eps", 1e-5},
          {"max_position_embeddings", 4096},
          {"hidden_act", "silu"},
          {"torch_dtype", "float16"},
          {"bos_token_id", 1},
          {"eos_token_id", 2},
          {"pretraining_tp", 1},
          {"rope_scaling", nullptr}};
}

json qwen3() {
  return {{"model_type", "qwen3"},       {"vocab_size", 151936},
          {"hidden_size", 1024},         {"intermediate_size", 3072},
          {"num_hidden_layers", 28},     {"num_attention_heads", 16},
          {"num_key_value_heads", 8},    {"head_dim", 128},
          {"rms_norm_eps", 1e-6},        {"rope_theta", 1000000},
          {"tie_word_embeddings", true}, {"max_position_embeddings", 40960},
          {"dtype", "bfloat16"},         {"eos_token_id", {151645, 151643}},
          {"use_sliding_window", false}, {"sliding_window", nullptr},
          {"max_window_layers", 28}};
}

ModelConfig parse(const json& value) { return parse_model_config(value, "config.json"); }

json with(json value, const std::string& key, json item) {
  value[key] = std::move(item);
  return value;
}

TEST(ModelConfigTest, ReadsLlama2) {
  const ModelConfig config = parse(llama());
  EXPECT_EQ(config.num_key_value_heads, 32);
  EXPECT_EQ(config.head_dim, 128);
  EXPECT_EQ(config.rms_norm_eps, 1e-5);
  EXPECT_EQ(config.torch_dtype, "float16");
  EXPECT_EQ(config.rope.type, RopeType::kDefault);
  EXPECT_EQ(config.rope.theta, 10000);
  EXPECT_EQ(config.eos_token_id, std::vector<int64_t>{2});
  EXPECT_FALSE(config.qk_norm());
  EXPECT_FALSE(config.tie_word_embeddings);
  EXPECT_EQ(config.num_parameters(), 6738415616);  // Llama-2 7B
}

TEST(ModelConfigTest, ReadsQwen3) {
  const ModelConfig config = parse(qwen3());
  EXPECT_TRUE(config.qk_norm());
  EXPECT_EQ(config.head_dim, 128);  // not hidden_size / heads
  EXPECT_EQ(config.torch_dtype, "bfloat16");
  EXPECT_EQ(config.eos_token_id, (std::vector<int64_t>{151645, 151643}));
  EXPECT_EQ(config.bos_token_id, std::nullopt);
  EXPECT_EQ(config.num_parameters(), 596049920);  // Qwen3-0.6B
}

TEST(ModelConfigTest, ReadsEveryFormOfTheRope) {
  EXPECT_EQ(parse(with(llama(), "rope_scaling", {{"type", "linear"}, {"factor", 8.0}})).rope.factor, 8);
  EXPECT_EQ(parse(with(llama(), "rope_scaling", {{"rope_type", "linear"}, {"factor", 8}})).rope.type,
            RopeType::kLinear);
  const json newer =
      with(llama(), "rope_parameters", {{"rope_type", "linear"}, {"rope_theta", 500000.0}, {"factor", 8.0}});
  EXPECT_EQ(parse(newer).rope.theta, 500000);
  EXPECT_EQ(parse(newer).rope.factor, 8);
  const json llama3 = {{"rope_type", "llama3"},
                       {"factor", 8.0},
                       {"low_freq_factor", 1.0},
                       {"high_freq_factor", 4.0},
                       {"original_max_position_embeddings", 8192}};
  EXPECT_EQ(parse(with(llama(), "rope_scaling", llama3)).rope.original_max_position_embeddings, 8192);
}

// Values: transformers 5.24 and 4.51.3 on the same files (tests/integration/test_interop.py has the losses).
TEST(ModelConfigTest, TakesWhatReleasesReadDifferentlyAsTheNewestDoesAndSaysSo) {
  const json newer = with(llama(), "rope_parameters", {{"rope_type", "default"}, {"rope_theta", 500000.0}});
  const ModelConfig only_newer = parse(newer);
  EXPECT_EQ(only_newer.rope.theta, 500000);
  EXPECT_EQ(only_newer.notes,
            std::vector<std::string>{"its rotary embedding is default, theta 500000 for transformers 5, which hici "
                                     "follows, and default, theta 10000 for transformers 4.51"});
  EXPECT_EQ(parse(with(newer, "rope_theta", 20000.0)).rope.theta, 500000);
  EXPECT_TRUE(parse(with(newer, "rope_theta", 500000.0)).notes.empty());

  const ModelConfig both = parse(with(newer, "rope_scaling", {{"type", "linear"}, {"factor", 2.0}}));
  EXPECT_EQ(both.rope.type, RopeType::kLinear);
  ASSERT_EQ(both.notes.size(), 1u);
  EXPECT_EQ(both.notes[0],
            "rope_scaling (linear, theta 10000, factor 2) goes before rope_parameters (default, theta 500000), as in "
            "transformers 5");

  const json two_types = with(llama(), "rope_scaling", {{"type", "linear"}, {"rope_type", "default"}, {"factor", 2.0}});
  EXPECT_EQ(parse(two_types).rope.type, RopeType::kDefault);
  EXPECT_EQ(parse(two_types).notes.size(), 1u);

  const json yarn = {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 2048}};
  EXPECT_EQ(parse(with(llama(), "rope_scaling", yarn)).rope.factor, 4);
  EXPECT_EQ(parse(with(llama(), "rope_scaling", yarn)).notes.size(), 1u);  // 4.51 takes 4096 / 2048
  const ModelConfig beside =
      parse(with(with(llama(), "rope_scaling", yarn), "original_max_position_embeddings", 512.0));
  EXPECT_EQ(beside.rope.original_max_position_embeddings, 512);
  EXPECT_EQ(beside.notes.size(), 1u);
}

TEST(ModelConfigTest, NamesKeysThatNobodyReadsAndKnowsThoseThatFilesCarry) {
  EXPECT_TRUE(parse(with(llama(), "torchscript", false)).notes.empty());
  EXPECT_TRUE(parse(with(llama(), "pretraining_tp", 2)).notes.empty());  // the same products in pieces
  EXPECT_EQ(parse(with(llama(), "final_logit_softcapping", 30.0)).notes,
            std::vector<std::string>{"keys that hici does not know are not used: final_logit_softcapping"});
  EXPECT_EQ(parse(with(llama(), "attention_dropout", 0.1)).notes,
            std::vector<std::string>{"attention_dropout 0.1 is not used: hici trains without dropout of attention"});
}

TEST(ModelConfigTest, WritesBothFormsOfTheRopeWithTheSameValues) {
  ModelConfig config = parse(llama());
  config.rope.context_factor = 8;
  const json out = to_json(config);
  EXPECT_EQ(out["rope_scaling"].dump(), R"({"factor":8.0,"type":"linear"})");  // two keys, a JSON float
  EXPECT_EQ(out["rope_parameters"], json({{"rope_type", "linear"}, {"rope_theta", 10000.0}, {"factor", 8.0}}));
  EXPECT_EQ(out["rope_theta"], 10000.0);
  EXPECT_EQ(out["max_position_embeddings"], 4096);
  const ModelConfig again = parse(out);
  EXPECT_EQ(again.rope.factor, 8);
  EXPECT_EQ(again.rope.context_factor, 1);
}

TEST(ModelConfigTest, AContextFactorMultipliesALinearScalingAndIsWrittenPairByPairOnOthers) {
  ModelConfig config = parse(with(llama(), "rope_scaling", {{"type", "linear"}, {"factor", 4.0}}));
  config.rope.context_factor = 2;
  EXPECT_EQ(to_json(config)["rope_scaling"]["factor"], 8.0);
  config = parse(with(qwen3(), "rope_scaling",
                      {{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 32768}}));
  EXPECT_EQ(to_json(config)["rope_parameters"]["rope_type"], "yarn");
  config.rope.context_factor = 2;
  const json out = to_json(config);
  EXPECT_EQ(out["rope_parameters"]["rope_type"], "longrope");
  EXPECT_EQ(out["rope_parameters"]["short_factor"], out["rope_scaling"]["long_factor"]);
  const ModelConfig again = parse(out);
  EXPECT_EQ(rope_reach(again), 2 * rope_reach(config));
  EXPECT_EQ(rope_attention_scale(again.rope), rope_attention_scale(config.rope));
  const auto wanted = rope_inverse_frequencies(config.rope, config.head_dim);
  const auto found = rope_inverse_frequencies(again.rope, config.head_dim);
  ASSERT_EQ(found.size(), wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) EXPECT_NEAR(found[i], wanted[i], 1e-15 * wanted[i]) << i;  // two divisions
  // Once more: the factors of the pairs grow.
  ModelConfig longer = again;
  longer.rope.context_factor = 3;
  EXPECT_EQ(to_json(longer)["rope_scaling"]["factor"], 6.0);
  EXPECT_EQ(parse(to_json(longer)).rope.pair_factors[5], 3 * again.rope.pair_factors[5]);
}

TEST(ModelConfigTest, ReadsALongropeThatDoesNotDependOnTheLength) {
  const std::vector<double> factors(64, 2.0);
  json scaling = {{"rope_type", "longrope"},
                  {"short_factor", factors},
                  {"long_factor", factors},
                  {"factor", 4.0},
                  {"original_max_position_embeddings", 4096}};
  const RopeConfig rope = parse(with(qwen3(), "rope_scaling", scaling)).rope;
  EXPECT_DOUBLE_EQ(rope_attention_scale(rope), std::sqrt(1 + std::log(4.0) / std::log(4096.0)));
  scaling["attention_factor"] = 1.0;
  EXPECT_EQ(rope_attention_scale(parse(with(qwen3(), "rope_scaling", scaling)).rope), 1);
  scaling["long_factor"][3] = 5.0;
  EXPECT_ERROR_SAYS(parse(with(qwen3(), "rope_scaling", scaling)), "short_factor and long_factor differ");
  scaling["short_factor"] = scaling["long_factor"] = std::vector<double>(63, 2.0);
  EXPECT_ERROR_SAYS(parse(with(qwen3(), "rope_scaling", scaling)), "short_factor has 63 numbers, expected 64");
  scaling["short_factor"] = scaling["long_factor"] = std::vector<double>(64, 0.0);
  EXPECT_ERROR_SAYS(parse(with(qwen3(), "rope_scaling", scaling)), "short_factor holds 0");
  scaling["short_factor"] = "many";
  EXPECT_ERROR_SAYS(parse(with(qwen3(), "rope_scaling", scaling)),
                    "short_factor is \"many\", expected a number for each");
}

TEST(ModelConfigTest, AContextFactorOnLongropeKeepsItsUsualAttentionFactor) {
  const std::vector<double> factors(64, 2.0);
  ModelConfig config = parse(with(qwen3(), "rope_scaling",
                                  {{"rope_type", "longrope"},
                                   {"short_factor", factors},
                                   {"long_factor", factors},
                                   {"factor", 4.0},
                                   {"original_max_position_embeddings", 4096}}));
  config.rope.context_factor = 3;
  const ModelConfig again = parse(to_json(config));
  EXPECT_EQ(again.rope.factor, 12);
  EXPECT_EQ(rope_attention_scale(again.rope), rope_attention_scale(config.rope));
}

TEST(ModelConfigTest, KeepsUnknownKeysAndRoundTrips) {
  const json source = with(qwen3(), "transformers_version", "4.51.0");
  const json out = to_json(parse(source));
  EXPECT_EQ(out["transformers_version"], "4.51.0");
  EXPECT_EQ(out["dtype"], "bfloat16");
  EXPECT_EQ(out["torch_dtype"], "bfloat16");
  EXPECT_EQ(out["eos_token_id"], source["eos_token_id"]);
  EXPECT_EQ(to_json(parse(out)), out);
}

TEST(ModelConfigTest, ForgetsTheCodeThatStandsBesideAMergedModel) {
  json merged = with(llama(), "auto_map", {{"AutoModelForCausalLM", "modeling_hici.HiciLlamaForCausalLM"}});
  merged = with(with(merged, "hici", {{"causal_mode", "none"}}), "hici_segment_length", 2048);
  const ModelConfig config = parse(merged);
  EXPECT_TRUE(config.notes.empty());
  EXPECT_EQ(to_json(config), to_json(parse(llama())));
  const json other = {{"AutoModelForCausalLM", "modeling_other.Model"}};
  EXPECT_EQ(to_json(parse(with(llama(), "auto_map", other)))["auto_map"], other);
}

TEST(ModelConfigTest, NamesWhatItDoesNotSupport) {
  EXPECT_ERROR_SAYS(parse(with(llama(), "model_type", "mistral")),
                    "config.json: model_type \"mistral\" is not supported; supported: llama, qwen3");
  EXPECT_ERROR_SAYS(parse(with(llama(), "attention_bias", true)), "config.json: attention_bias true is not supported");
  EXPECT_ERROR_SAYS(parse(with(llama(), "mlp_bias", true)), "mlp_bias true");
  EXPECT_ERROR_SAYS(parse(with(llama(), "hidden_act", "gelu")),
                    "hidden_act \"gelu\" is not supported; supported: silu");
  EXPECT_ERROR_SAYS(parse(with(llama(), "is_causal", false)), "is_causal false is not supported; supported: true");
  EXPECT_NO_THROW(parse(with(llama(), "is_causal", true)));
  EXPECT_ERROR_SAYS(parse(with(llama(), "transformers_weights", "other.safetensors")),
                    "call the file model.safetensors");
  EXPECT_ERROR_SAYS(parse(with(llama(), "partial_rotary_factor", 0.5)), "partial_rotary_factor 0.5");
  EXPECT_ERROR_SAYS(parse(with(llama(), "quantization_config", {{"bits", 4}})),
                    "quantization_config an object of 1 keys is not supported");
  EXPECT_ERROR_SAYS(parse(with(llama(), "rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}})),
                    "RoPE type \"dynamic\" is not supported; supported: default, linear, llama3, yarn, longrope");
  json sliding = with(with(qwen3(), "use_sliding_window", true), "sliding_window", 4096);
  EXPECT_NO_THROW(parse(sliding));  // all 28 layers lie below max_window_layers
  const json in_half = with(sliding, "max_window_layers", 14);
  EXPECT_ERROR_SAYS(parse(in_half), "use_sliding_window true is not supported");
  // transformers since 4.53 goes by layer_types.
  const auto notes = parse(with(in_half, "layer_types", json(28, "full_attention"))).notes;
  ASSERT_EQ(notes.size(), 1U);
  EXPECT_NE(notes[0].find("use_sliding_window true contradicts layer_types"), std::string::npos);
  EXPECT_ERROR_SAYS(parse(with(qwen3(), "layer_types", {"full_attention", "sliding_attention"})), "layer_types");
}

TEST(ModelConfigTest, BoundsSizesAndTheirProducts) {
  EXPECT_ERROR_SAYS(parse(with(llama(), "hidden_size", -1)), "hidden_size is -1, expected 1 to ");
  EXPECT_ERROR_SAYS(parse(with(llama(), "hidden_size", int64_t{1} << 40)),
                    "hidden_size is 1099511627776, expected 1 to 1048576");
  EXPECT_ERROR_SAYS(parse(with(llama(), "vocab_size", "many")), "vocab_size is \"many\", expected a whole number");
  EXPECT_ERROR_SAYS(parse(with(with(llama(), "hidden_size", 1 << 17), "num_hidden_layers", 4096)),
                    "more than the 8796093022208 allowed");
  EXPECT_ERROR_SAYS(parse(with(llama(), "num_attention_heads", 30)),
                    "num_attention_heads 30 does not divide hidden_size 4096");
  EXPECT_ERROR_SAYS(parse(with(llama(), "num_key_value_heads", 5)),
                    "num_key_value_heads 5 does not divide num_attention_heads 32");
  EXPECT_ERROR_SAYS(parse(with(qwen3(), "head_dim", 127)), "head_dim 127 is odd");
  EXPECT_ERROR_SAYS(parse(with(with(qwen3(), "num_attention_heads", 8192), "head_dim", 256)),
                    "times head_dim 256 is more than");
  EXPECT_ERROR_SAYS(parse(with(llama(), "rms_norm_eps", 0)), "rms_norm_eps is 0");
  EXPECT_ERROR_SAYS(parse(with(llama(), "rope_theta", 0.5)), "rope_theta is 0.5");
  EXPECT_ERROR_SAYS(parse(with(llama(), "rope_scaling", {{"type", "linear"}, {"factor", 0.5}})), "RoPE factor is 0.5");
}

TEST(ModelConfigTest, NamesTheDirectoryThatIsNone) {
  const testing::TemporaryFolder folder;
  EXPECT_ERROR_SAYS(read_model_config(folder / "none"), "none: is no directory");
  EXPECT_ERROR_SAYS(read_model_config(folder.path()), "has no config.json; expected a Hugging Face model directory");
  std::ofstream(folder / "config.json") << llama();
  EXPECT_EQ(read_model_config(folder.path()).hidden_size, 4096);
  std::ofstream(folder / "config.json") << "[]";
  EXPECT_ERROR_SAYS(read_model_config(folder.path()), "config.json: is [], expected a JSON object");
}

}  // namespace
}  // namespace hici::config
