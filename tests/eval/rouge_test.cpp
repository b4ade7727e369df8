// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longbench/rouge.h"

#include "hici/base/file.h"
#include "hici/base/json.h"

#include <gtest/gtest.h>

#include <sstream>

namespace hici::eval {
namespace {

// data/pairs.jsonl: [text, reference, F of the Python package rouge 1.0.1, ...].
TEST(RougeTest, IsThatOfThePythonPackage) {
  std::istringstream lines(read_file(HICI_SOURCE_DIR "/tests/eval/data/pairs.jsonl", 1 << 20));
  int count = 0;
  for (std::string line; std::getline(lines, line); ++count) {
    const nlohmann::json pair = parse_json(line, "pairs.jsonl");
    EXPECT_DOUBLE_EQ(rouge_l(pair[0].get<std::string>(), pair[1].get<std::string>()), pair[2].get<double>()) << line;
  }
  EXPECT_EQ(count, 308);
}

TEST(RougeTest, LongSentencesAreScoredToo) {
  // Python's recursion ends at some thousand words of both sides.
  std::string text;
  for (int i = 0; i < 3000; ++i) text += std::to_string(i) + "w ";
  EXPECT_NEAR(rouge_l(text, text), 1, 1e-7);  // the 1e-8 of the formula
}

}  // namespace
}  // namespace hici::eval
