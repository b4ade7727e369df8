// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/option.h"

#include "hici/base/file.h"
#include "hici/commands/options/parse_options.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

namespace hici::commands {
namespace {

struct Settings {
  int64_t rank = 8;
};

struct Options {
  Settings settings;
  Option<int64_t&> lora_r{settings.rank};
  Option<std::string> label{"none"};
  Option<bool> resume{false};
  Option<double> rate{0.5};
};

class OptionTest : public ::testing::Test {
 protected:
  void SetUp() override {
    add_option(app_, "lora_r,--rank", options_.lora_r, "Rank", {1, 64});
    add_option(app_, "label", options_.label, "Label");
    add_bool(app_, "resume", options_.resume, "Resume");
    app_.add_option("--config", "A file")->type_name("FILE");
  }

  CLI::App app_;
  Options options_;
};

TEST_F(OptionTest, KnowsWhetherItWasTyped) {
  parse_options(app_, "train", {"--rank", "8", "--resume"});
  EXPECT_TRUE(options_.lora_r.typed()) << "with the value of its default";
  EXPECT_TRUE(options_.resume.typed());
  EXPECT_TRUE(options_.resume.value);
  EXPECT_FALSE(options_.label.typed());
  EXPECT_EQ(options_.label.value, "none");
}

TEST_F(OptionTest, TheValueMayStandInAStructOfTheLibrary) {
  parse_options(app_, "train", {"--lora_r=32"});
  EXPECT_EQ(options_.settings.rank, 32);
}

TEST_F(OptionTest, AFileOfOptionsCountsAsTyped) {
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "run.ini", "label = x\n");
  parse_options(app_, "train", {"--config", (folder / "run.ini").string()});
  EXPECT_TRUE(options_.label.typed());
  EXPECT_FALSE(options_.lora_r.typed());
}

TEST_F(OptionTest, SaysItsNameAndWhetherTheCommandHasIt) {
  EXPECT_EQ(options_.lora_r.name(), "--lora_r");
  EXPECT_EQ(options_.lora_r.key(), "lora_r");
  EXPECT_TRUE(options_.lora_r.is_declared());
  EXPECT_FALSE(options_.rate.is_declared());
  EXPECT_FALSE(options_.rate.typed());
}

}  // namespace
}  // namespace hici::commands
