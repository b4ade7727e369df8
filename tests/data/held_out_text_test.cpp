// SPDX-License-Identifier: Apache-2.0
#include "hici/data/held_out_text.h"

#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace hici::data {
namespace {

class HeldOutTextTest : public ::testing::Test {
 protected:
  std::filesystem::path file(const std::string& name, const std::string& bytes) const {
    std::ofstream(folder_ / name, std::ios::binary) << bytes;
    return folder_ / name;
  }
  HeldOutText read(const std::string& bytes, const HeldOutSizes& sizes = {1, 1000, 5}) const {
    return read_held_out_text(file("a.txt", bytes), sizes);
  }

  testing::TemporaryFolder folder_;
};

TEST_F(HeldOutTextTest, TheEndIsHeldOut) {
  const HeldOutText text = read("0123456789abcdefghijklmnopqrst");  // 30 bytes, a tenth is 3
  EXPECT_EQ(text.training, "0123456789abcdefghijklmnopq");
  EXPECT_EQ(text.held_out, "rst");
  EXPECT_EQ(read(std::string(95, 'a') + "bcdef").held_out, "bcdef");  // 5 at most
  EXPECT_EQ(read("short").held_out, "");
}

TEST_F(HeldOutTextTest, NoCharacterIsCut) {
  std::string text;
  for (int i = 0; i < 30; ++i) text += "\xe2\x82\xac";  // three bytes each: a tenth is 9, of which 5 are held out
  EXPECT_EQ(read(text).held_out, "\xe2\x82\xac");
  EXPECT_EQ(read(text).training.size(), 87U);
}

TEST_F(HeldOutTextTest, DocumentsStandInLinesOfTheirOwn) {
  const auto path = file("a.jsonl", "{\"text\": \"one\"}\n{\"text\": \"two\\n\"}\n{\"text\": \"three four\"}\n");
  const HeldOutText text = read_held_out_text(path, {1, 1000, 5});
  EXPECT_EQ(text.training + text.held_out, "one\ntwo\nthree four");
}

TEST_F(HeldOutTextTest, RefusesWhatIsNoTextOfTheSizeByName) {
  const HeldOutSizes sizes{10, 20, 5};
  EXPECT_ERROR_SAYS(read("", sizes), "a.txt: is empty; give a text of at least 10 bytes");
  EXPECT_ERROR_SAYS(read("too short", sizes), "a.txt: has 9 bytes of text; give at least 10");
  EXPECT_ERROR_SAYS(read("this one is much longer", sizes),
                    "a.txt: has more than 20 B of text, the most that is taken");
  EXPECT_ERROR_SAYS(read(std::string("this\0is none", 12), sizes), "a.txt: has a NUL at byte 4 of its text");
  EXPECT_ERROR_SAYS(read("\xff\xfe is none here", sizes), "a.txt: is not UTF-8 at byte 0");
  EXPECT_ERROR_SAYS(read_held_out_text(folder_ / "none.txt", sizes), "none.txt: no such file or folder");
}

}  // namespace
}  // namespace hici::data
