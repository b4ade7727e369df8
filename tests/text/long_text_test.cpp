// SPDX-License-Identifier: Apache-2.0
// A text in pieces must give the ids of the whole: the comparison with Python is in parity_test.py, this one is with
// the text encoded in one piece.
#include "hici/base/error.h"
#include "hici/text/tokenizer.h"
#include "hici/text/utf8.h"
#include "support/error_message.h"
#include "text/trained.h"

#include <gtest/gtest.h>

#include <random>
#include <utility>

namespace hici::text {
namespace {

using hici::testing::mixed_text;
using hici::testing::TemporaryFolder;
using hici::testing::train_small_tokenizer;

Ids encoded_in_pieces(const Tokenizer& tokenizer, std::string_view text, size_t piece_bytes, size_t window_bytes) {
  LongTextEncoder encoder(tokenizer, window_bytes);
  Ids ids;
  while (!text.empty()) {
    const size_t size = valid_utf8_prefix(text.substr(0, piece_bytes)).valid_bytes;
    encoder.append(text.substr(0, size), ids);
    text.remove_prefix(size);
  }
  encoder.finish(ids);
  return ids;
}

Ids whole(const Tokenizer& tokenizer, const std::string& text) { return tokenizer.encode_with_offsets(text).ids; }

std::string random_text(size_t num_bytes, unsigned seed) {
  std::mt19937 random(seed);
  const std::vector<std::string> parts = {" ",     "  ",   "\n", "\n\n",    "\r\n", "\t", "the", " dog", "'s",
                                          "12345", "日本", "é",  "e\u0301", "😀",   "…",  "<s>", "A",    "--"};
  std::string text;
  while (text.size() < num_bytes) text += parts[random() % parts.size()];
  return text;
}

// Windows shorter than a piece of the crate's (256 KiB), whose ends alone are borders, and one of two pieces, which has
// a border inside as well.
TEST(LongTextEncoderTest, PiecesGiveTheIdsOfTheWhole) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = train_small_tokenizer(folder);
  for (const auto& [num_bytes, window_bytes] : {std::pair<size_t, size_t>{70000, 20000}, {285000, 270000}}) {
    const std::string text = random_text(num_bytes, static_cast<unsigned>(window_bytes));
    EXPECT_EQ(encoded_in_pieces(tokenizer, text, 9999, window_bytes), whole(tokenizer, text)) << window_bytes;
  }
}

TEST(LongTextEncoderTest, ABatchCutsItsLongTexts) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = train_small_tokenizer(folder, true);
  const std::vector<std::string> texts = {"short", random_text(330000, 1), "", random_text(270000, 2), mixed_text()};
  const std::vector<Ids> batch = tokenizer.encode_batch(texts, true);
  for (size_t i = 0; i < texts.size(); ++i) {
    Ids expected = whole(tokenizer, texts[i]);
    expected.insert(expected.begin(), 0);  // <s>
    EXPECT_EQ(batch[i], expected) << i;
  }
}

TEST(LongTextEncoderTest, ShortAndEmptyTexts) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = train_small_tokenizer(folder);
  EXPECT_EQ(encoded_in_pieces(tokenizer, mixed_text(), 10, 100), whole(tokenizer, mixed_text()));
  EXPECT_TRUE(encoded_in_pieces(tokenizer, "", 10, 100).empty());
}

TEST(LongTextEncoderTest, OneEndlessWordGrowsTheWindow) {
  const TemporaryFolder folder;
  const Tokenizer tokenizer = train_small_tokenizer(folder);
  for (const std::string unit : {"a", " ", "\n", "日"}) {
    std::string text = "start ";
    while (text.size() < 150000) text += unit;
    text += " and an end";
    EXPECT_EQ(encoded_in_pieces(tokenizer, text, 15000, 30000), whole(tokenizer, text)) << unit;
  }
}

// Llama-2's form: no pre-tokenizer, a space is written as U+2581, one is put in front, and unknown characters are
// bytes.
TEST(LongTextEncoderTest, TokenizersWithoutWordsAreCutWhereNothingMerges) {
  const TemporaryFolder folder;
  std::string vocab;
  std::vector<std::string> tokens = {"<unk>", "\u2581", "t",         "h",  "e",   "d",         "o",           "g",
                                     "th",    "the",    "\u2581the", "do", "dog", "\u2581dog", "\u2581\u2581"};
  for (int byte = 0; byte < 256; ++byte) {
    char name[8];
    std::snprintf(name, sizeof name, "<0x%02X>", static_cast<unsigned>(byte));
    tokens.push_back(name);
  }
  for (size_t i = 0; i < tokens.size(); ++i) vocab += detail::concat(i ? ",\"" : "\"", tokens[i], "\":", i);
  write_file_atomically(
      folder / "tokenizer.json",
      R"({"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":{"type":"Sequence","normalizers":[)"
      R"({"type":"Prepend","prepend":"▁"},{"type":"Replace","pattern":{"String":" "},"content":"▁"}]},"pre_tokenizer":null,)"
      R"("post_processor":null,"decoder":null,"model":{"type":"BPE","dropout":null,"unk_token":"<unk>","continuing_subword_prefix":null,)"
      R"("end_of_word_suffix":null,"fuse_unk":true,"byte_fallback":true,"vocab":{)" +
          vocab + R"(},"merges":["t h","th e","▁ the","d o","do g","▁ dog","▁ ▁"]}})");
  const Tokenizer tokenizer = Tokenizer::from_path(folder.path(), 2);
  const std::string text = random_text(700000, 5);
  const Ids expected = whole(tokenizer, text);
  EXPECT_EQ(encoded_in_pieces(tokenizer, text, 50000, 100000), expected);
  EXPECT_EQ(encoded_in_pieces(tokenizer, text, 300000, 600000), expected);
}

}  // namespace
}  // namespace hici::text
