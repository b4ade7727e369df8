// SPDX-License-Identifier: Apache-2.0
// Every number of every file that is read beside weights, replaced by what no file holds: refused with file and key, or
// of no effect. Never taken, and never a mistake of ours.
#include "hici/base/file.h"
#include "hici/config/hici_config.h"
#include "hici/config/model_config.h"
#include "hici/data/token_sidecar.h"
#include "hici/io/adapter.h"
#include "hici/io/checkpoint/training_state.h"
#include "hici/io/generation_config.h"

#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <functional>
#include <set>
#include <string>
#include <vector>

namespace hici::io {
namespace {

using nlohmann::json;
using Read = std::function<void(const json&)>;

const std::vector<json>& absurd_values() {
  static const std::vector<json> values{1e300, -1e300, 1e-300, -1, 0, uint64_t{1} << 63, UINT64_MAX, "NaN", "inf"};
  return values;
}

// "rope_scaling/factor 0" where 0 is a value like any other, or stands for what is not set.
using Allowed = std::set<std::string>;

void expect_refused(const Read& read, const json& changed, const std::string& file, const std::string& key,
                    const std::string& what, bool is_allowed) {
  SCOPED_TRACE(::testing::Message() << file << ": " << what);
  try {
    read(changed);
    EXPECT_TRUE(is_allowed) << "was accepted";
  } catch (const InternalError& e) {
    ADD_FAILURE() << "a mistake of ours: " << e.what();
  } catch (const Error& e) {
    const std::string message = e.what();
    EXPECT_FALSE(is_allowed) << message;
    EXPECT_NE(message.find(file), std::string::npos) << message;
    EXPECT_NE(message.find(key), std::string::npos) << message;
    EXPECT_TRUE(testing::is_one_clean_line(message));
  }
}

// Numbers by number, also those of objects inside.
void check_numbers(const Read& read, const json& good, const std::string& file, const Allowed& allowed) {
  ASSERT_NO_THROW(read(good)) << testing::error_message([&] { read(good); });
  const json flat = good.flatten();
  for (const auto& [path, value] : flat.items()) {
    if (!value.is_number()) continue;
    const std::string key = path.substr(path.rfind('/') + 1);
    for (const json& absurd : absurd_values()) {
      json changed = good;
      changed[json::json_pointer(path)] = absurd;
      const std::string what = path.substr(1) + " " + absurd.dump();
      expect_refused(read, changed, file, key, what, allowed.contains(what) || allowed.contains(path.substr(1) + " *"));
    }
  }
}

json model_config(const json& rope) {
  return {{"model_type", "llama"},
          {"vocab_size", 64},
          {"hidden_size", 32},
          {"intermediate_size", 48},
          {"num_hidden_layers", 2},
          {"num_attention_heads", 4},
          {"num_key_value_heads", 2},
          {"head_dim", 8},
          {"rms_norm_eps", 1e-5},
          {"rope_theta", 10000.0},
          {"max_position_embeddings", 128},
          {"pretraining_tp", 1},
          {"partial_rotary_factor", 1.0},
          {"bos_token_id", 1},
          {"eos_token_id", 2},
          {"rope_scaling", rope}};
}

TEST(AbsurdNumbersTest, OfConfigAreRefused) {
  const Read read = [](const json& value) { config::parse_model_config(value, "config.json"); };
  const Allowed tokens{"bos_token_id 0", "bos_token_id -1", "eos_token_id 0", "eos_token_id -1", "pretraining_tp 0"};
  Allowed yarn = tokens;  // transformers reads 0 as not set
  for (const char* key : {"beta_fast", "beta_slow", "mscale", "mscale_all_dim"})
    yarn.insert("rope_scaling/" + std::string(key) + " 0");
  yarn.insert("rope_scaling/mscale -1");  // 1 - 0.1 ln(factor) is a scale
  yarn.insert("rope_scaling/mscale_all_dim -1");
  yarn.insert("rope_scaling/mscale 1e-300");
  yarn.insert("rope_scaling/mscale_all_dim 1e-300");
  const json positions = {{"original_max_position_embeddings", 64}};
  json llama3 = {{"rope_type", "llama3"}, {"factor", 2.0}, {"low_freq_factor", 1.0}, {"high_freq_factor", 4.0}};
  json turns = {{"rope_type", "yarn"}, {"factor", 2.0}, {"beta_fast", 32.0},
                {"beta_slow", 1.0},    {"mscale", 1.0}, {"mscale_all_dim", 0.5}};
  json pairs = {{"rope_type", "longrope"}, {"factor", 2.0}, {"attention_factor", 1.1}};
  for (json* rope : {&llama3, &turns, &pairs}) rope->update(positions);
  check_numbers(read, model_config({{"type", "linear"}, {"factor", 2.0}}), "config.json", tokens);
  check_numbers(read, model_config(llama3), "config.json", tokens);
  check_numbers(read, model_config(turns), "config.json", yarn);
  const Read read_with_lists = [&](const json& value) {  // whose items have no key
    json whole = value;
    for (const char* list : {"short_factor", "long_factor"}) whole["rope_scaling"][list] = {1.0, 1.0, 2.0, 2.0};
    read(whole);
  };
  check_numbers(read_with_lists, model_config(pairs), "config.json", tokens);
}

TEST(AbsurdNumbersTest, OfGenerationConfigAreRefused) {
  const testing::TemporaryFolder folder;
  config::ModelConfig model;
  model.vocab_size = 64;
  const Read read = [&](const json& value) {
    write_file_atomically(folder / "generation_config.json", value.dump());
    read_generation_config(folder.path(), model);
  };
  const json good{{"eos_token_id", 2}, {"temperature", 0.6}, {"top_p", 0.9}, {"repetition_penalty", 1.1}};
  check_numbers(read, good, "generation_config.json",
                {"eos_token_id 0", "temperature *", "top_p *"});  // these are only shown
}

TEST(AbsurdNumbersTest, OfAdaptersAreRefused) {
  const Read read = [](const json& value) { config::parse_adapter_settings(value, "hici_config.json"); };
  check_numbers(read,
                config::to_json(
                    config::AdapterSettings{.hici = {}, .context_size = 4096, .rope_factor = 2, .library_version = ""}),
                "hici_config.json", {});

  const testing::TemporaryFolder folder;
  AdapterToWrite adapter;
  adapter.lora.rank = 2;
  const std::string layer = "model.layers.0.self_attn.q_proj.";
  adapter.lora_tensors = {{layer + "lora_A.weight", at::ones({2, 8})}, {layer + "lora_B.weight", at::ones({8, 2})}};
  adapter.settings_are_known = false;
  write_adapter(folder / "adapter", std::move(adapter));
  const fs::path file = folder / "adapter" / "adapter_config.json";
  const Read read_peft = [&](const json& value) {
    write_file_atomically(file, value.dump());
    read_adapter(folder / "adapter");
  };
  check_numbers(read_peft, json::parse(read_file(file, 1 << 20)), file.string(),
                // A line tells it, nobody computes with it.
                {"lora_dropout 1e+300", "lora_dropout -1e+300", "lora_dropout 1e-300", "lora_dropout -1",
                 "lora_dropout 0", "lora_dropout 9223372036854775808", "lora_dropout 18446744073709551615"});
}

TEST(AbsurdNumbersTest, OfTrainingStatesAreRefused) {
  TrainingState state;
  state.step = 3;
  state.epoch = 1;
  state.next_sample = 4;
  state.tokens = 96;
  state.sequence_length = 16;
  state.data = {.path = "tokens.bin", .fingerprint = std::string(64, 'f'), .num_samples = 100};
  const Read read = [](const json& value) { parse_training_state(value.dump(), "training_state.json"); };
  check_numbers(read, json::parse(training_state_text(state)), "training_state.json",
                {"step 0", "epoch 0", "next_sample 0", "tokens 0", "data/num_samples 0"});
  for (const char* seed : {"1e300", "-1", "18446744073709551616", "NaN", ""}) {
    json changed = json::parse(training_state_text(state));
    changed["seed"] = seed;
    expect_refused(read, changed, "training_state.json", "seed", seed, false);
  }
}

TEST(AbsurdNumbersTest, OfTokenFilesAreRefused) {
  const data::TokenFileInfo info{.type = data::TokenType::kUint16,
                                 .vocab_size = 64,
                                 .num_tokens = 9,
                                 .num_documents = 1,
                                 .sha256 = std::string(64, '0')};
  const Read read = [](const json& value) { data::sidecar_from_json(value.dump(), "tokens.bin.json"); };
  check_numbers(read, json::parse(data::sidecar_to_json(info)), "tokens.bin.json", {"tokens 0", "documents 0"});
}

}  // namespace
}  // namespace hici::io
