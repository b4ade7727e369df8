// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/flag_text.h"

#include "hici/base/log.h"
#include "hici/config/hici_config.h"
#include "hici/config/train_config.h"
#include "support/error_message.h"

#include <gtest/gtest.h>

namespace hici::commands {
namespace {

class FlagTextTest : public ::testing::Test {
 protected:
  void SetUp() override {
    command_.add_option("--hici_lr,--rate", value_);
    command_.add_option("--split", value_);
    name_fields_as_options_of(command_);
  }

  CLI::App command_;
  std::string value_;
};

TEST_F(FlagTextTest, FieldsBecomeOptions) {
  EXPECT_EQ(with_flags("`split` takes one of a, b"), "--split takes one of a, b");
  EXPECT_EQ(with_flags("use `hici_lr` 1 or `rate`"), "use --hici_lr 1 or --rate");
  EXPECT_EQ(with_flags("give it as `base_model`"), "give it as --base_model") << "of another command";
}

TEST_F(FlagTextTest, FieldsWhoseOptionHasAnInheritedNameAreFound) {
  EXPECT_EQ(
      with_flags(testing::error_message([] { config::TrainConfig{.batch_size = 0, .num_epochs = -1}.validate(); })),
      "--per_device_train_batch_size: 0 is out of range, use 1 or more; --num_train_epochs: -1 is out of range, use "
      "0 to 1000000");
  EXPECT_EQ(with_flags(testing::error_message([] { config::HiciConfig{.num_segments = 0}.validate(64); })),
            "--num_chunks: 0 is out of range; use 1 to 4294967296");
  command_.add_option("--batch_size", value_);
  name_fields_as_options_of(command_);
  EXPECT_EQ(with_flags("`batch_size`: 0"), "--batch_size: 0") << "the command has an option of the field's own name";
}

TEST_F(FlagTextTest, OtherTextStaysAsItIs) {
  for (const char* text : {"", "plain", "a ` b", "`", "``", "`no_such_field`", "``x`", "`not closed"})
    EXPECT_EQ(with_flags(text), text);
  EXPECT_EQ(with_flags("the file `x `split` y"), "the file `x --split y");
}

TEST_F(FlagTextTest, LinesOfTheLogAreWordedSo) {
  ::testing::internal::CaptureStderr();
  log_warning("`split`: has no effect");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "warning: --split: has no effect\n");
}

}  // namespace
}  // namespace hici::commands
