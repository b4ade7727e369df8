// SPDX-License-Identifier: Apache-2.0
#include "hici/generate/stop_strings.h"

#include "support/error_message.h"

#include <gtest/gtest.h>

namespace hici::generate {
namespace {

// All that comes out when the text goes in pieces of `size` bytes.
std::string run(const std::vector<std::string>& stops, const std::string& text, size_t size, bool& found) {
  StopStrings stop(stops);
  std::string out;
  for (size_t at = 0; at < text.size(); at += size) out += stop.push(std::string_view(text).substr(at, size));
  out += stop.finish();
  found = stop.found();
  return out;
}

TEST(StopStringsTest, HoweverTheTextIsCutItEndsBeforeTheStopString) {
  for (size_t size = 1; size <= 12; ++size) {
    bool found = false;
    EXPECT_EQ(run({"###", "\n\n"}, "one ## two\n### three", size, found), "one ## two\n") << size;
    EXPECT_TRUE(found);
    EXPECT_EQ(run({"abcabd"}, "abcabcabd!", size, found), "abc") << size;  // begins inside a false start
    EXPECT_TRUE(found);
    EXPECT_EQ(run({"</s>", "stop"}, "no such </ sto", size, found), "no such </ sto") << size;
    EXPECT_FALSE(found);
  }
}

TEST(StopStringsTest, NothingIsHeldBackThatNoStopStringBeginsWith) {
  StopStrings stop({"END"});
  EXPECT_EQ(stop.push("text E"), "text ");
  EXPECT_EQ(stop.push("NTER"), "ENTER");
  EXPECT_EQ(stop.push("EN"), "");
  EXPECT_EQ(stop.push("D and more"), "");
  EXPECT_TRUE(stop.found());
  EXPECT_EQ(stop.push("dropped"), "");
  EXPECT_EQ(stop.finish(), "");
}

TEST(StopStringsTest, OfTwoInOnePieceTheOneThatBeginsFirstCounts) {
  bool found = false;
  EXPECT_EQ(run({"three", "two"}, "one two three", 13, found), "one ");
  EXPECT_EQ(run({}, "one", 2, found), "one");
  EXPECT_FALSE(found);
}

TEST(StopStringsTest, AnEmptyStringIsAnError) {
  EXPECT_EQ(testing::error_message([] { StopStrings({"a", ""}); }),
            "`stop`: an empty string would stop everything; leave it out");
}

}  // namespace
}  // namespace hici::generate
