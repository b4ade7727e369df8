// SPDX-License-Identifier: Apache-2.0
#include "hici/base/json.h"

#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <fstream>

namespace hici {
namespace {

using nlohmann::json;

TEST(ParseJsonTest, BuildsWhatNlohmannBuilds) {
  const std::string text =
      R"({"a": [1, -2, 3.5, true, null, {"b": "x\n\u00e9"}], "c": {}, "d": [[], {"e": [[1]]}], "f": 18446744073709551615})";
  EXPECT_EQ(parse_json(text, "f.json"), json::parse(text));
  EXPECT_EQ(parse_json("7", "f.json"), json(7));
}

TEST(ParseJsonTest, RefusesDuplicateKeysAtEveryLevel) {
  EXPECT_ERROR_SAYS(parse_json(R"({"a": 1, "a": 1})", "f.json"), "f.json: key 'a' occurs twice");
  EXPECT_ERROR_SAYS(parse_json(R"([{"a": {"b": 1, "c": 2, "b": 3}}])", "f.json"), "f.json: key 'b' occurs twice");
  EXPECT_ERROR_SAYS(parse_json("{\"\\u001b[31m\": 1, \"\\u001b[31m\": 1}", "f.json"), "key '?[31m' occurs twice");
}

TEST(ParseJsonTest, NamesTheByteWhereReadingStopped) {
  EXPECT_ERROR_SAYS(parse_json(R"({"a": 1,})", "f.json"), "f.json: not JSON, unexpected '");
  EXPECT_ERROR_SAYS(parse_json(R"({"a": 1,})", "f.json"), "before byte 9");
  EXPECT_ERROR_SAYS(parse_json("", "f.json"), "f.json: not JSON");
  EXPECT_ERROR_SAYS(parse_json("{\"a\": 1} x", "f.json"), "f.json: not JSON");
  for (const char* number : {"{\"a\": NaN}", "[-Infinity]", "{\"a\":Infinity}", "NaN", "[1,\nNaN]"})
    EXPECT_ERROR_SAYS(parse_json(number, "f.json"), "f.json: not JSON, NaN or Infinity before byte");
  EXPECT_ERROR_SAYS(parse_json("{\"a\": tN}", "f.json"), "f.json: not JSON, unexpected");
  EXPECT_ERROR_SAYS(parse_json("{\"a\": 1e999}", "f.json"), "number '1e999' is out of range");
  EXPECT_ERROR_SAYS(parse_json(std::string("{\"a\": \"\xff\xfe\"}"), "f.json"), "f.json: not JSON");
  EXPECT_ERROR_SAYS(parse_json(std::string("\x80\x02}q\x00", 5), "f.json"), "f.json: not JSON");
}

// nlohmann's reader stops at a NUL and calls it the end.
TEST(ParseJsonTest, RefusesNulWhereverItStands) {
  const auto with_nul = [](const std::string& before, const std::string& behind) { return before + '\0' + behind; };
  EXPECT_ERROR_SAYS(parse_json(with_nul("{\"a\": 1}", ""), "f.json"), "f.json: not JSON, a NUL is byte 9;");
  EXPECT_ERROR_SAYS(parse_json(with_nul("{\"a\": 1}", ", \"b\": 2}"), "f.json"), "a NUL is byte 9");
  EXPECT_ERROR_SAYS(parse_json(with_nul("{\"a\": ", "1}"), "f.json"), "a NUL is byte 7");
  EXPECT_ERROR_SAYS(parse_json(with_nul("", "{}"), "f.json"), "a NUL is byte 1");
  EXPECT_ERROR_SAYS(parse_json(with_nul("{\"a", "\": 1}"), "f.json"), "a NUL is byte 4");
  EXPECT_EQ(parse_json("\"a\\u0000b\"", "f.json").get<std::string>(), std::string("a\0b", 3));
}

TEST(ParseJsonTest, BoundsDepthAndSizeBeforeBuilding) {
  const auto nested = [](int depth) {
    return std::string(static_cast<size_t>(depth), '[') + std::string(static_cast<size_t>(depth), ']');
  };
  EXPECT_TRUE(parse_json(nested(64), "f.json").is_array());
  EXPECT_ERROR_SAYS(parse_json(nested(65), "f.json"), "f.json: nested deeper than 64 levels at byte 64");
  EXPECT_ERROR_SAYS(parse_json(std::string(10'000'000, '['), "f.json"), "nested deeper than 64 levels");
  EXPECT_EQ(parse_json(R"("[[[[[[[[\"[[[[")", "f.json", 100, 1).get<std::string>(), "[[[[[[[[\"[[[[");
  EXPECT_ERROR_SAYS(parse_json("[1, 2, 3]", "f.json", 8), "f.json: 9 bytes of JSON, more than the 8 allowed");
}

TEST(ReadJsonFileTest, NamesTheFile) {
  const testing::TemporaryFolder folder;
  EXPECT_ERROR_SAYS(read_json_file(folder / "config.json"), "config.json: cannot open: No such file");
  std::ofstream(folder / "config.json") << "{\"a\": 1}";
  EXPECT_EQ(read_json_file(folder / "config.json"), json({{"a", 1}}));
  EXPECT_ERROR_SAYS(read_json_file(folder / "config.json", 4), "8 bytes, more than the 4 allowed");
}

TEST(JsonObjectTest, ReadsTypedValuesAndTreatsNullAsAbsent) {
  const json value = {{"i", 7},       {"d", 0.5},        {"b", true},      {"s", "x"},
                      {"n", nullptr}, {"l", {"a", "b"}}, {"o", {{"k", 1}}}};
  const JsonObject object(value, "c.json");
  EXPECT_EQ(object.integer("i", 0, 10), 7);
  EXPECT_EQ(object.integer_or("n", 3, 0, 10), 3);
  EXPECT_EQ(object.number("i"), 7.0);
  EXPECT_EQ(object.number_or("d", 1), 0.5);
  EXPECT_EQ(object.optional_number("n"), std::nullopt);
  EXPECT_TRUE(object.boolean_or("b", false));
  EXPECT_EQ(object.string("s"), "x");
  EXPECT_EQ(object.strings("l"), (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(object.object("o").integer("k", 0, 1), 1);
}

TEST(JsonObjectTest, SaysWhatIsWrongWithAValue) {
  const json value = {{"i", "seven"}, {"big", uint64_t{1} << 63}, {"d", 1.5},      {"o", {{"k", "v"}}},
                      {"l", {1}},     {"esc", "\x1b[2J\n"},       {"line\nend", 1}};
  const JsonObject object(value, "c.json");
  EXPECT_ERROR_SAYS(object.integer("hidden_size", 1, 9), "c.json: has no 'hidden_size'");
  EXPECT_ERROR_SAYS(object.integer("i", 1, 9), "c.json: i is \"seven\", expected a whole number");
  EXPECT_ERROR_SAYS(object.integer("d", 1, 9), "c.json: d is 1.5, expected a whole number");
  EXPECT_ERROR_SAYS(object.integer("big", 1, 9), "c.json: big is 9223372036854775808, expected 1 to 9");
  EXPECT_ERROR_SAYS(object.number("o"), "c.json: o is an object of 1 keys, expected a finite number");
  EXPECT_ERROR_SAYS(object.strings("l"), "c.json: l is [1], expected a list of strings");
  EXPECT_ERROR_SAYS(object.boolean_or("esc", true), "expected true or false");
  // Keys may be the file's own (names of tensors in a shard index); they used to come out as they are.
  EXPECT_ERROR_SAYS(object.string("line\nend"), "c.json: line?end is 1, expected a string");
  EXPECT_ERROR_SAYS(object.object("line\nend"), "c.json: line?end: is 1");
  EXPECT_ERROR_SAYS(JsonObject(json(3), "c.json"), "c.json: is 3, expected a JSON object");
}

}  // namespace
}  // namespace hici
