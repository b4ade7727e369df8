// SPDX-License-Identifier: Apache-2.0
#include "hici/io/peft_config.h"

#include "hici/base/file.h"
#include "hici/io/peft_names.h"
#include "support/error_message.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace hici::io {
namespace {

using nlohmann::json;

const std::string kLayer1 = "model.layers.1.self_attn.";

PeftConfig parse(json changes = json::object()) {
  json config = {{"peft_type", "LORA"}, {"r", 4}, {"lora_alpha", 8}, {"target_modules", {"q_proj", "v_proj"}}};
  config.update(changes);
  return parse_peft_config(config.dump(), "config");
}

TEST(PeftConfigTest, UnknownKeysAreErrorsAndUnsetOnesAreNot) {
  EXPECT_NO_THROW(parse());
  EXPECT_NO_THROW(parse({{"of_tomorrow", nullptr}, {"use_qalora", false}, {"arrow_config", nullptr}}));
  EXPECT_NO_THROW(parse({{"target_parameters", json::array()}, {"layer_replication", nullptr}}));
  EXPECT_ERROR_SAYS(parse({{"of_tomorrow", 3}}), "config: of_tomorrow 3 is no key that is known here");
  EXPECT_ERROR_SAYS(parse({{"use_bdlora", {{"nblocks", 2}}}}),
                    "config: use_bdlora an object of 1 keys is not supported (block-diagonal factors)");
}

TEST(PeftConfigTest, FirstPatternOfTheFileCounts) {
  const std::string start = R"({"r": 4, "lora_alpha": 8, "rank_pattern": )";
  const auto rank = [&](const std::string& pattern) {
    return parse_peft_config(start + pattern + "}", "config").lora.shape_of(kLayer1 + "q_proj").rank;
  };
  EXPECT_EQ(rank(R"({"q_proj": 2, "layers.1.self_attn.q_proj": 3})"), 2);
  EXPECT_EQ(rank(R"({"layers.1.self_attn.q_proj": 3, "q_proj": 2})"), 3);
  EXPECT_EQ(rank(R"({"^layers.1.self_attn.q_proj": 3})"), 4);
  EXPECT_ERROR_SAYS(rank(R"({"q_proj": 0})"), "config: rank_pattern: q_proj is 0, expected 1 to ");
  EXPECT_ERROR_SAYS(rank(R"({"(?!x)q": 2})"), "config: rank_pattern: the regular expression '(.*\\.)?((?!x)q)' has");
  EXPECT_ERROR_SAYS(parse({{"alpha_pattern", {{"q_proj", "8"}}}}), "alpha_pattern: q_proj is \"8\"");
}

TEST(PeftConfigTest, TargetsByPeftsRule) {
  EXPECT_TRUE(parse().targets.is_plain());
  EXPECT_TRUE(parse().targets.adapts(kLayer1 + "q_proj"));
  EXPECT_FALSE(parse().targets.adapts(kLayer1 + "k_proj"));
  const PeftConfig expression = parse({{"target_modules", ".*\\.1\\..*k_proj"}});
  EXPECT_TRUE(expression.targets.adapts(kLayer1 + "k_proj"));
  EXPECT_FALSE(expression.targets.adapts("model.layers.0.self_attn.k_proj"));
  const PeftConfig all = parse({{"target_modules", "all-linear"}});
  EXPECT_TRUE(all.targets.adapts("model.layers.0.mlp.up_proj"));
  EXPECT_FALSE(all.targets.adapts("lm_head"));
  const PeftConfig excluded = parse({{"exclude_modules", {"layers.1.self_attn.q_proj"}}});
  EXPECT_FALSE(excluded.targets.adapts(kLayer1 + "q_proj"));
  EXPECT_TRUE(excluded.targets.adapts(kLayer1 + "v_proj"));
  const PeftConfig saved = parse({{"modules_to_save", {"self_attn"}}});
  EXPECT_FALSE(saved.targets.adapts(kLayer1 + "q_proj"));
  const TargetRule absent = parse({{"target_modules", nullptr}}).targets;
  EXPECT_TRUE(absent.is_default());
  EXPECT_TRUE(absent.adapts(kLayer1 + "q_proj") && absent.adapts(kLayer1 + "v_proj"));
  EXPECT_FALSE(absent.adapts(kLayer1 + "k_proj"));
}

TEST(PeftConfigTest, LayersToTransform) {
  for (const json& layers : {json(1), json{1}}) {
    const PeftConfig config = parse({{"layers_to_transform", layers}});
    EXPECT_TRUE(config.targets.adapts(kLayer1 + "q_proj"));
    EXPECT_FALSE(config.targets.adapts("model.layers.0.self_attn.q_proj"));
    EXPECT_FALSE(config.targets.is_plain());
  }
  EXPECT_TRUE(parse({{"layers_to_transform", json::array()}}).targets.adapts("model.layers.0.self_attn.q_proj"));
  const PeftConfig other = parse({{"layers_to_transform", {1}}, {"layers_pattern", "blocks"}});
  EXPECT_FALSE(other.targets.adapts(kLayer1 + "q_proj"));
  const PeftConfig whole = parse({{"layers_to_transform", {0}}, {"target_modules", {kLayer1 + "q_proj"}}});
  EXPECT_TRUE(whole.targets.adapts(kLayer1 + "q_proj"));
  EXPECT_ERROR_SAYS(parse({{"layers_to_transform", "1"}}), "config: layers_to_transform \"1\", expected numbers");
}

TEST(PeftConfigTest, ReadsRowsOfTokens) {
  EXPECT_EQ(parse({{"trainable_token_indices", {5, 9}}}).token_rows.at("embed_tokens"), (std::vector<int64_t>{5, 9}));
  const PeftConfig both = parse({{"trainable_token_indices", {{"embed_tokens", {1}}, {"lm_head", {2}}}}});
  EXPECT_EQ(both.token_rows.at("lm_head"), std::vector<int64_t>{2});
  EXPECT_ERROR_SAYS(parse({{"trainable_token_indices", {-1}}}), "config: trainable_token_indices [-1], expected lists");
  EXPECT_ERROR_SAYS(parse({{"trainable_token_indices", "5"}}), "config: trainable_token_indices \"5\", expected lists");
}

TEST(PeftNamesTest, EverySpellingHasOnePlainName) {
  const std::string factor = kLayer1 + "q_proj.lora_A.weight";
  for (const char* start : {"base_model.model.", "", "module.base_model.model.", "_orig_mod.base_model.model.",
                            "base_model.model._orig_mod.", "_orig_mod.module.base_model.model."})
    EXPECT_EQ(plain_tensor_name(start + kLayer1 + "q_proj.lora_A.mine.weight"), factor) << start;
  EXPECT_EQ(plain_tensor_name("model.layers.1._fsdp_wrapped_module.self_attn.q_proj.lora_A.weight"), factor);
  EXPECT_EQ(plain_tensor_name("lm_head.modules_to_save.weight"), "lm_head.weight");
  EXPECT_EQ(plain_tensor_name("lm_head.modules_to_save.mine.weight"), "lm_head.weight");
  EXPECT_EQ(plain_tensor_name("a.mlp.modules_to_save.up_proj.weight"), "a.mlp.up_proj.weight");
  EXPECT_EQ(plain_tensor_name("a.mlp.modules_to_save.mine.up_proj.weight"), "a.mlp.up_proj.weight");
  EXPECT_EQ(plain_tensor_name("a.lora_magnitude_vector.default.weight"), "a.lora_magnitude_vector");
  EXPECT_EQ(plain_tensor_name("a.lora_magnitude_vector"), "a.lora_magnitude_vector");
  EXPECT_EQ(plain_tensor_name("a.lora_embedding_A.default"), "a.lora_embedding_A");
  EXPECT_EQ(plain_tensor_name("a.lora_B.default.bias"), "a.lora_B.bias");
  EXPECT_EQ(plain_tensor_name("a.token_adapter.trainable_tokens_delta.default"),
            "a.token_adapter.trainable_tokens_delta");
  EXPECT_EQ(plain_tensor_name("a.token_adapter.base_layer.weight"), "a.weight");
  EXPECT_EQ(plain_tensor_name("a.token_adapter.trainable_tokens_original.default"), "");
  EXPECT_EQ(parse_peft_name("a.lora_A.mine.weight").adapter, "mine");
  EXPECT_EQ(parse_peft_name("_orig_mod.a.weight").wrapper, "_orig_mod");
  EXPECT_EQ(parse_peft_name("a.base_layer.weight").spelling, Spelling::kBaseLayer);
}

}  // namespace
}  // namespace hici::io
