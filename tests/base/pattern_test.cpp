// SPDX-License-Identifier: Apache-2.0
#include "hici/base/pattern.h"

#include "support/error_message.h"

#include <gtest/gtest.h>

#include <string>

namespace hici {
namespace {

bool matches(const std::string& expression, const std::string& text) { return Pattern(expression, "x").matches(text); }

TEST(PatternTest, MatchesWholeTexts) {
  EXPECT_TRUE(matches("q_proj", "q_proj"));
  EXPECT_FALSE(matches("q_proj", "a.q_proj"));
  EXPECT_FALSE(matches("q_pro", "q_proj"));
  EXPECT_TRUE(matches("", ""));
  EXPECT_FALSE(matches("", "a"));
  EXPECT_TRUE(matches("layers\\.1\\.(q|k)_proj", "layers.1.k_proj"));
  EXPECT_FALSE(matches("layers\\.1\\.(q|k)_proj", "layersx1.k_proj"));
  EXPECT_TRUE(matches("layers.1", "layersx1"));
}

TEST(PatternTest, RepeatsAsPythonDoes) {
  for (const char* text : {"", "a", "aaa"}) EXPECT_TRUE(matches("a*", text)) << text;
  EXPECT_FALSE(matches("a+", ""));
  EXPECT_TRUE(matches("a+?", "aa"));
  EXPECT_TRUE(matches("(ab?){2,3}c", "aabac"));
  EXPECT_FALSE(matches("(ab?){2,3}c", "ac"));
  EXPECT_FALSE(matches("(ab?){2,3}c", "aaaac"));
  EXPECT_TRUE(matches("a{2,}", "aaaa"));
  EXPECT_FALSE(matches("a{2,}", "a"));
  EXPECT_TRUE(matches("a{,2}", ""));
  EXPECT_TRUE(matches("a{2}", "aa"));
  EXPECT_TRUE(matches("a{b}", "a{b}"));
}

TEST(PatternTest, ReadsClassesAndEscapes) {
  EXPECT_TRUE(matches("layers\\.\\d+\\.x", "layers.31.x"));
  EXPECT_FALSE(matches("\\d", "a"));
  EXPECT_TRUE(matches("[^a-c_]+", "dxz9"));
  EXPECT_FALSE(matches("[^a-c_]+", "db"));
  EXPECT_TRUE(matches("[]a-]+", "]-a"));
  EXPECT_TRUE(matches("[\\d.]+", "3.1"));
  EXPECT_TRUE(matches("\\w\\W\\s\\S", "a. b"));
  EXPECT_FALSE(matches(".", "\n"));
}

TEST(PatternTest, KnowsPlaces) {
  EXPECT_TRUE(matches("(.*\\.)?(^model.q)", "model.q"));
  EXPECT_FALSE(matches("(.*\\.)?(^model.q)", "a.model.q"));
  EXPECT_TRUE(matches("a$", "a"));
  EXPECT_FALSE(matches("a$b", "ab"));
  EXPECT_TRUE(matches("\\Aab\\Z", "ab"));
  EXPECT_TRUE(matches(".*\\bq_proj", "x.q_proj"));
  EXPECT_FALSE(matches(".*\\bq_proj", "xq_proj"));
  EXPECT_TRUE(matches("(?P<layer>\\d)(?:a|b)", "3b"));
}

TEST(PatternTest, AnythingElseIsRefusedByName) {
  for (const char* expression : {"(?=a)", "(?i)a", "a++", "(a", "a)", "[a", "a{3,2}", "*a", "\\1", "\\q", "a\\",
                                 "[z-a]", "\xc3\xa9", "a{2000}", "((((a{9}){9}){9}){9}){9}"})
    EXPECT_ERROR_SAYS(Pattern(expression, "file: key"), "file: key: the regular expression '");
}

// Backtracking would take longer than the universe is old.
TEST(PatternTest, TakesLinearTime) {
  const std::string text = std::string(5000, 'a') + "!";
  EXPECT_FALSE(matches("(a*)*(a|aa)+b", text));
  EXPECT_FALSE(matches("(a?){30}a{30}b", std::string(60, 'a')));
}

}  // namespace
}  // namespace hici
