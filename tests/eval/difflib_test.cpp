// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longbench/difflib.h"

#include "hici/base/file.h"
#include "hici/base/json.h"
#include "hici/eval/longbench/metrics.h"

#include <gtest/gtest.h>

#include <sstream>
#include <string>

namespace hici::eval {
namespace {

// data/difflib_pairs.jsonl: [a, b, SequenceMatcher(None, a, b).ratio(), fuzz.ratio] of Python (difflib_draws.py).
TEST(DifflibTest, RatiosAreThoseOfPythonToTheLastBit) {
  std::istringstream lines(read_file(HICI_SOURCE_DIR "/tests/eval/data/difflib_pairs.jsonl", 1 << 20));
  int64_t num_pairs = 0;
  for (std::string line; std::getline(lines, line); ++num_pairs) {
    const nlohmann::json pair = parse_json(line, "difflib_pairs.jsonl");
    const auto a = pair[0].get<std::string>(), b = pair[1].get<std::string>();
    EXPECT_EQ(difflib_ratio(a, b), pair[2].get<double>()) << line.substr(0, 200);
    if (a.empty() || b.empty()) continue;
    EXPECT_EQ(fuzz_ratio(a, b, CodeRatio::kDifflib), pair[3].get<int>()) << line.substr(0, 200);
  }
  EXPECT_GT(num_pairs, 250);
}

TEST(DifflibTest, BlocksAreTheLongestAndNotTheMost) {
  EXPECT_DOUBLE_EQ(difflib_ratio("tide", "diet"), 0.25);
  EXPECT_DOUBLE_EQ(difflib_ratio("diet", "tide"), 0.5) << "the order of the texts matters";
}

// From 200 characters of the second text on, a character that makes up more than 1 % of it begins no block.
TEST(DifflibTest, PopularCharactersBeginNoBlockInLongTexts) {
  const std::string short_text(199, 'a'), long_text(200, 'a');
  EXPECT_EQ(difflib_ratio("b" + short_text, short_text), 2.0 * 199 / 399);
  EXPECT_EQ(difflib_ratio("b" + long_text, long_text), 0);
  EXPECT_EQ(difflib_ratio(long_text + "b", long_text), 2.0 * 200 / 401) << "where the texts begin alike they are seen";
}

TEST(DifflibTest, FuzzRatioOfEqualAndEmptyTextsAsksNobody) {
  EXPECT_EQ(fuzz_ratio("", "", CodeRatio::kDifflib), 100);
  EXPECT_EQ(fuzz_ratio("", "a", CodeRatio::kDifflib), 0);
  EXPECT_EQ(fuzz_ratio("a", "a", CodeRatio::kDifflib), 100);
}

TEST(DifflibTest, BytesThatAreNoTextCountOneEach) { EXPECT_DOUBLE_EQ(difflib_ratio("a\xFF", "a\xFE"), 0.5); }

}  // namespace
}  // namespace hici::eval
