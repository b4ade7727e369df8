// SPDX-License-Identifier: Apache-2.0
#include "hici/data/json_rows.h"

#include "hici/base/file.h"
#include "hici/data/text_source.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <vector>

namespace hici::data {
namespace {

using hici::testing::TemporaryFolder;

std::vector<std::string> rows_of(const std::string& text, const std::string& name = "f.json") {
  const TemporaryFolder folder;
  write_file_atomically(folder / name, text);
  const auto rows = open_json_rows(folder / name);
  std::vector<std::string> all;
  for (JsonRow row; rows->next(row);) all.push_back(row.text);
  return all;
}

TEST(JsonRowsTest, FindsTheElementsOfAList) {
  using Rows = std::vector<std::string>;
  EXPECT_EQ(rows_of(" [ ] \n"), Rows{});
  EXPECT_EQ(rows_of("[{\"a\": [1, {\"b\": \"]},\\\"{[\"}]}\n, 3 ,\"x,]\\\\\",[[]],null]"),
            (Rows{"{\"a\": [1, {\"b\": \"]},\\\"{[\"}]}", "3 ", "\"x,]\\\\\"", "[[]]", "null"}));
}

// The mark that some editors put before a text is no part of it.
TEST(JsonRowsTest, AByteOrderMarkIsSkipped) {
  const std::string mark = "\xef\xbb\xbf";
  EXPECT_EQ(rows_of(mark + " [1, 2]"), (std::vector<std::string>{"1", "2"}));
  const TemporaryFolder folder;
  const auto text_of = [&](const std::string& bytes) {
    write_file_atomically(folder / "t.txt", bytes);
    const auto source = open_text_source(folder / "t.txt", {});
    std::string all;
    for (TextPiece piece; source->next(piece);) all += piece.text;
    return all;
  };
  EXPECT_EQ(text_of(mark + "a" + mark), "a" + mark);
  EXPECT_EQ(text_of(mark), "");
  EXPECT_EQ(text_of("ab"), "ab");
}

// The buffer is refilled by the megabyte: elements that span several fills, and many in one.
TEST(JsonRowsTest, ElementsMayBeOfAnyLength) {
  std::string text = "[";
  std::vector<std::string> expected;
  for (const size_t size : {size_t{10}, size_t{3'000'000}, size_t{1} << 20, size_t{5}}) {
    for (int i = 0; i < 3; ++i) {
      expected.push_back("{\"" + std::string(size, 'a') + "\\\"\": \"" + std::string(size, ']') + "\"}");
      text += (text.size() > 1 ? ",\n" : "") + expected.back();
    }
  }
  EXPECT_EQ(rows_of(text + "]"), expected);
}

TEST(JsonRowsTest, ALineIsARowAndEmptyOnesAreNone) {
  EXPECT_EQ(rows_of("{}\n\n \r\n[1]\r\n3", "f.jsonl"), (std::vector<std::string>{"{}", "[1]\r", "3"}));
  EXPECT_EQ(rows_of("", "f.jsonl"), std::vector<std::string>{});
}

TEST(JsonRowsTest, SaysWhatIsWrongWithAList) {
  EXPECT_ERROR_SAYS(rows_of("  "), "f.json: is empty, expected a JSON list");
  EXPECT_ERROR_SAYS(rows_of("{\"a\": 1}"), "f.json: begins with '{', expected a JSON list of objects (or use .jsonl)");
  EXPECT_ERROR_SAYS(rows_of("[1, 2"), "f.json: ends inside element 1; the file is incomplete");
  EXPECT_ERROR_SAYS(rows_of("[{}"), "f.json: ends inside its list; the file is incomplete");
  EXPECT_ERROR_SAYS(rows_of("[{},]"), "f.json: element 1: expected behind a comma, the list ends instead");
  EXPECT_ERROR_SAYS(rows_of("[{} {}]"), "f.json: not JSON, unexpected '{' behind element 0");
  EXPECT_ERROR_SAYS(rows_of("[{}]]"), "f.json: not JSON, unexpected ']' behind its list");
  EXPECT_ERROR_SAYS(rows_of("", "f.csv"), "f.csv: ending '.csv' is not known; use .jsonl or .json");
}

}  // namespace
}  // namespace hici::data
