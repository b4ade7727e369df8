// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/trainer_options.h"

#include "hici/commands/options/parse_options.h"

#include "support/error_message.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace hici::commands {
namespace {

void parse(const std::vector<std::string>& words) {
  CLI::App app{"Sample", "hici train"};
  add_trainer_options(app);
  parse_options(app, "train", words);
}

std::string error_of(const std::vector<std::string>& words) {
  return testing::error_message([&] { parse(words); });
}

// The words of the research code's and LongLoRA's scripts.
TEST(TrainerOptionsTest, TakesWhatTheScriptsSay) {
  EXPECT_NO_THROW(parse({"--use_flash_plus",
                         "False",
                         "--use_full_attn",
                         "False",
                         "--optim",
                         "adamw_torch",
                         "--fp16",
                         "False",
                         "--report_to",
                         "none",
                         "--ddp_timeout",
                         "180000000",
                         "--ddp_find_unused_parameters",
                         "False",
                         "--dataloader_num_workers",
                         "4",
                         "--model_type",
                         "llama",
                         "--local_rank",
                         "0"}));
}

TEST(TrainerOptionsTest, RefusesWhatWouldChangeWhatIsTrained) {
  EXPECT_EQ(error_of({"--eval_delay", "5"}), "--eval_delay: 5 is not supported; supported: none, 0; leave it out");
  EXPECT_EQ(error_of({"--use_full_attn"}),
            "--use_full_attn: True is not supported; supported: false; use --attention full");
  EXPECT_EQ(error_of({"--optim", "adafactor"}),
            "--optim: adafactor is not supported; supported: adamw_torch, adamw_torch_fused, adamw_hf, "
            "adamw_apex_fused; there is no other optimizer");
  EXPECT_EQ(error_of({"--fp16", "True"}), "--fp16: True is not supported; supported: false; use --dtype bfloat16");
  EXPECT_EQ(error_of({"--average_tokens_across_devices", "no"}),
            "--average_tokens_across_devices: no is not supported; supported: true; leave it out: every token counts "
            "the same");
  EXPECT_EQ(error_of({"--optim", ""}),
            "--optim: '' is not supported; supported: adamw_torch, adamw_torch_fused, adamw_hf, adamw_apex_fused; "
            "there is no other optimizer");
}

TEST(TrainerOptionsTest, NumbersAndTruthValuesHaveManySpellings) {
  EXPECT_NO_THROW(
      parse({"--label_smoothing_factor", "0.0", "--fp16", "no", "--do_train", "--push_to_hub", "0",
             "--neftune_noise_alpha", "None", "--gradient_checkpointing_kwargs", R"({"use_reentrant": false})"}));
}

TEST(TrainerOptionsTest, AllThatIsWrongIsToldAtOnce) {
  EXPECT_EQ(error_of({"--label_smoothing_factor", "0.1", "--fsdp", "full_shard"}),
            "--label_smoothing_factor: 0.1 is not supported; supported: 0; leave it out; --fsdp: full_shard is not "
            "supported; supported: false, none, ''; use --shard full");
}

}  // namespace
}  // namespace hici::commands
