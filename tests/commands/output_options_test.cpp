// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/output_options.h"

#include "hici/base/file.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <string>

namespace hici::commands {
namespace {

TEST(ShowAndWriteTest, AResultIsShownWhateverBecomesOfItsFile) {
  bool is_written = false;
  ::testing::internal::CaptureStdout();
  show_and_write("perplexity 5\n", [&] { is_written = true; });
  EXPECT_TRUE(is_written);
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "perplexity 5\n");

  ::testing::internal::CaptureStdout();
  EXPECT_ERROR_SAYS(show_and_write("perplexity 6\n", [] { fail("out.json: disk full"); }), "out.json: disk full");
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "perplexity 6\n");
}

TEST(OverwriteOptionTest, RefusesWhatIsThereUnlessToldOtherwise) {
  ASSERT_NE(std::freopen("/dev/null", "r", stdin), nullptr);  // no terminal, also where the test runs in one
  const testing::TemporaryFolder folder;
  write_file_atomically(folder / "there", "x");
  fs::create_symlink("nowhere", folder / "link");
  OverwriteOption option;
  EXPECT_NO_THROW(option.check({folder / "new", "", folder / "link"}));
  EXPECT_ERROR_SAYS(option.check({folder / "new", folder / "there"}),
                    (folder / "there").string() + ": is there already; give --overwrite True to replace it");
  option.value = true;
  EXPECT_NO_THROW(option.check({folder / "there"}));
  EXPECT_EQ(read_file(folder / "there", 10), "x");
}

}  // namespace
}  // namespace hici::commands
