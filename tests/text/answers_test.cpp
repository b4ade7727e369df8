// SPDX-License-Identifier: Apache-2.0
// Words of answers against Python and the package jieba (tests/eval/make_expected.py made data/answers.jsonl).
#include "hici/text/answers.h"

#include "hici/base/error.h"
#include "hici/base/json_lines.h"
#include "hici/text/http.h"
#include "support/error_message.h"

#include <gtest/gtest.h>

namespace hici::text {
namespace {

TEST(AnswersTest, WordsAndNumbersAreThoseOfPython) {
  const std::vector<JsonLine> lines = read_json_lines(HICI_SOURCE_DIR "/tests/text/data/answers.jsonl");
  ASSERT_EQ(lines.size(), 407u);
  for (const JsonLine& line : lines) {
    const std::string text = line.value["text"];
    EXPECT_EQ(segment_chinese(text), line.value["segmented"]) << line.text;
    EXPECT_EQ(english_words(text), line.value["english"].get<Words>()) << line.text;
    EXPECT_EQ(chinese_words(text), line.value["chinese"].get<Words>()) << line.text;
    EXPECT_EQ(numbers(text), line.value["numbers"].get<Words>()) << line.text;
  }
}

TEST(AnswersTest, EditDistanceCountsInsertionsAndDeletionsOfCharacters) {
  const EditDistance found = edit_distance("kitten猫", "sitting猫");
  EXPECT_EQ(found.edits, 5u);  // k and e out, s, i and g in
  EXPECT_EQ(found.num_characters, 15u);
  EXPECT_EQ(edit_distance("", "").num_characters, 0u);
}

TEST(AnswersTest, TextThatIsNoUtf8IsAnError) {
  EXPECT_ERROR_SAYS(english_words("ab\xff"), "an answer: byte 2 is not UTF-8");
  EXPECT_ERROR_SAYS(segment_chinese("\xe4\xb8"), "an answer: byte 0 is not UTF-8");
}

TEST(HttpTest, NoAnswerIsStatusZeroWithAReason) {
  // Port 1 of this machine: nobody listens there.
  const HttpAnswer refused = post_json({.url = "http://127.0.0.1:1/x", .bearer = "", .body = "{}"});
  EXPECT_EQ(refused.status, 0u);
  EXPECT_FALSE(refused.body.empty());
  EXPECT_EQ(post_json({.url = "no address", .bearer = "", .body = "{}"}).status, 0u);
  EXPECT_EQ(post_json({.url = "http://127.0.0.1:1/x", .bearer = "two\nlines", .body = "{}"}).status, 0u);
}

}  // namespace
}  // namespace hici::text
