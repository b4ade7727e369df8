// SPDX-License-Identifier: Apache-2.0
#include "hici/io/checkpoint/training_state.h"

#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <limits>
#include <string>

namespace hici::io {
namespace {

TrainingState sample_state() {
  TrainingState state;
  state.step = 120;
  state.epoch = 1;
  state.next_sample = 37;
  state.tokens = 1'966'080;
  state.seed = std::numeric_limits<uint64_t>::max();
  state.sequence_length = 1024;
  state.batch = {.per_device = 4, .accumulation = 2, .world_size = 1};
  state.data = {.path = "bible.bin", .fingerprint = "0123456789abcdef", .num_samples = 999};
  state.options = {{"learning_rate", "0.0005"}, {"dtype", "float32"}};
  return state;
}

std::string refusal(const TrainingState& current, bool is_overridden = false) {
  return testing::error_message(
      [&] { check_resumable("out/checkpoint-120", sample_state(), current, is_overridden, "`resume_anyway`"); });
}

TEST(TrainingStateTest, EverythingComesBackFromTheFile) {
  const testing::TemporaryFolder folder;
  const TrainingState state = sample_state();
  write_training_state(folder.path(), state);
  const TrainingState back = read_training_state(folder.path());
  EXPECT_EQ(training_state_text(back), training_state_text(state));
  EXPECT_EQ(back.seed, state.seed);
  EXPECT_EQ(back.options, state.options);
  EXPECT_EQ(back.batch.size(), 8);
}

// Older versions wrote LibTorch's names of types, 17 digits, and fp8_base.
TEST(TrainingStateTest, OptionsOfOlderCheckpointsAreTheSameOptions) {
  TrainingState old = sample_state();
  old.options = {
      {"learning_rate", "0.00050000000000000001"}, {"max_grad_norm", "1"}, {"dtype", "Float"}, {"fp8_base", "True"}};
  const TrainingState read = parse_training_state(training_state_text(old), "s.json");
  TrainingState current = sample_state();
  current.options = {{"learning_rate", "0.0005"}, {"max_grad_norm", "1"}, {"dtype", "float32"}, {"base_format", "fp8"}};
  EXPECT_NO_THROW(check_resumable("out/checkpoint-120", read, current, false, "`resume_anyway`"));
  current.options["learning_rate"] = "0.0006";
  EXPECT_ERROR_SAYS(check_resumable("out/checkpoint-120", read, current, false, "`resume_anyway`"),
                    "`learning_rate` is 0.0006, the checkpoint has 0.0005;");
}

TEST(TrainingStateTest, ADamagedFileIsNamed) {
  const std::string whole = training_state_text(sample_state());
  const auto with = [&](const std::string& from, const std::string& to) {
    return testing::error_message(
        [&] { parse_training_state(std::string(whole).replace(whole.find(from), from.size(), to), "s.json"); });
  };
  EXPECT_NE(with("\"version\": 1", "\"version\": 9").find("s.json: version 9, this program reads 1"),
            std::string::npos);
  EXPECT_NE(with("18446744073709551615", "18446744073709551616").find("s.json: seed"), std::string::npos);
  EXPECT_NE(with("\"step\": 120", "\"step\": -1").find("step"), std::string::npos);
  EXPECT_NE(with("\"per_device\": 4", "\"per_device\": 9223372036854775807").find("per_device"), std::string::npos);
  for (size_t size = 0; size + 2 < whole.size(); size += 7) {
    EXPECT_THROW(parse_training_state(whole.substr(0, size), "s.json"), Error) << size;
  }
}

TEST(ResumeTest, TheSameRunGoesOnAlsoFromAnotherPathOrLayoutOfTheBatch) {
  TrainingState current = sample_state();
  current.data.path = "/copy/bible.bin";
  current.batch = {.per_device = 2, .accumulation = 1, .world_size = 4};
  current.step = 0;
  EXPECT_EQ(refusal(current), "nothing was thrown");
}

TEST(ResumeTest, AllDifferencesAreNamedInOneLine) {
  TrainingState current = sample_state();
  current.data.fingerprint = "ffffffffffffffff";
  current.batch.accumulation = 1;
  current.options = {{"learning_rate", "0.001"}, {"weight_decay", "0.1"}};
  EXPECT_EQ(
      refusal(current),
      "out/checkpoint-120: cannot go on exactly: the data is bible.bin (999 samples, fingerprint ffffffffffff), "
      "the checkpoint has bible.bin (999 samples, fingerprint 0123456789ab); the global batch is 4 (per device 4 x "
      "accumulation 1 x processes 1), the checkpoint has 8 (per device 4 x accumulation 2 x processes 1); `dtype` is "
      "not set, the checkpoint has float32; `learning_rate` is 0.001, the checkpoint has 0.0005; `weight_decay` is "
      "0.1, and not set in the checkpoint; give what the checkpoint has, or add `resume_anyway`");
}

TEST(ResumeTest, AnOverriddenDifferenceIsAWarning) {
  TrainingState current = sample_state();
  current.seed = 1;
  current.sequence_length = 2048;
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(refusal(current, /*is_overridden=*/true), "nothing was thrown");
  const std::string warnings = ::testing::internal::GetCapturedStderr();
  EXPECT_NE(warnings.find("`sequence_length` is 2048, the checkpoint has 1024; going on because of `resume_anyway`"),
            std::string::npos);
  EXPECT_NE(warnings.find("`seed` is 1"), std::string::npos) << warnings;
}

TEST(ResumeTest, AnotherBaseOrTokenizerIsNamedWhereBothAreKnown) {
  TrainingState saved = sample_state(), current = sample_state();
  const auto refusal = [&](bool is_overridden) {
    return testing::error_message([&] { check_resumable("c", saved, current, is_overridden, "`resume_anyway`"); });
  };
  saved.identity = {{{"a", "1"}, {"b", "2"}}, std::string(64, 'a')};
  EXPECT_EQ(refusal(false), "nothing was thrown");  // the new run does not know: a base without tokenizer.json
  current.identity = {{{"b", "2"}}, std::string(64, 'a')};
  EXPECT_EQ(refusal(false), "nothing was thrown");
  current.identity.base["b"] = "3";
  EXPECT_EQ(refusal(false),
            "c: cannot go on exactly: the base model is another one (1 of 1 tensors differ, 'b' first); give what the "
            "checkpoint has, or add `resume_anyway`");
  EXPECT_EQ(refusal(true), "nothing was thrown");
  current.identity = {{}, std::string(64, 'b')};
  EXPECT_NE(refusal(false).find("the tokenizer is tokenizer.json of SHA-256 bbbbbbbbbbbb..., the checkpoint has"),
            std::string::npos);
  saved.identity = {};  // of an older hici
  EXPECT_EQ(refusal(false), "nothing was thrown");
}

TEST(ResumeTest, WhatACheckpointDecidesCannotBeOverridden) {
  TrainingState saved = sample_state(), current = sample_state();
  const auto refusal = [&](bool is_overridden) {
    return testing::error_message([&] { check_resumable("c", saved, current, is_overridden, "`resume_anyway`"); });
  };
  saved.start_options = {{"lora_r", "4"}, {"lora_alpha", "16"}};
  current.start_options = {{"lora_r", "4"}, {"use_llama_init", "True"}};  // the last one is not known
  EXPECT_EQ(refusal(false), "nothing was thrown");
  current.start_options["lora_r"] = "8";
  EXPECT_EQ(refusal(false),
            "c: cannot go on exactly: `lora_r` is 8, the checkpoint has 4; give what the checkpoint has");
  EXPECT_EQ(refusal(true),
            "c: `lora_r` is 8, the checkpoint has 4; the checkpoint decides that, also with `resume_anyway`: leave the "
            "option out");
}

TEST(TrainingStateTest, AStateOfAnOlderHiciIsRead) {
  TrainingState state = sample_state();
  state.start_options = {{"lora_r", "4"}};
  std::string text = training_state_text(state);
  EXPECT_EQ(parse_training_state(text, "s").start_options, state.start_options);
  const size_t begin = text.find(",\n \"start_options\""), end = text.rfind("\n}");
  ASSERT_LT(begin, end);
  // Older ones had "generators", which were never filled.
  text.replace(begin, end - begin, ",\n \"generators\": {}");
  EXPECT_EQ(parse_training_state(text, "s").start_options.size(), 0U);
}

}  // namespace
}  // namespace hici::io
