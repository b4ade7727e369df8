// SPDX-License-Identifier: Apache-2.0
// What is drawn; that the drawing is well-formed is checked by the tests of the commands with a parser that is not
// ours.
#include "hici/report/svg/heat_map.h"

#include "hici/report/report_data.h"
#include "hici/report/svg/passkey_map.h"

#include <gtest/gtest.h>

#include <string>

namespace hici::report {
namespace {

size_t count(const std::string& text, const std::string& part) {
  size_t found = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++found;
  return found;
}

HeatMap sample_map() {
  return {.title = "A <map> & more",
          .x_label = "length",
          .y_label = "depth",
          .columns = {"1K", "2K", "4K"},
          .rows = {"top", "bottom"},
          .values = {{1, 0.5, kNotANumber}, {0, 0.25, 1}}};
}

TEST(HeatMapTest, EachValueIsACellAndWhatWasNotMeasuredIsAnEmptyOne) {
  const std::string svg = render_heat_map(sample_map(), {});
  EXPECT_EQ(count(svg, "class='empty'"), 1u);
  EXPECT_EQ(count(svg, "<title>"), 5u);
  EXPECT_EQ(count(svg, "<title>2K, bottom: 25 %</title>"), 1u);
  EXPECT_EQ(count(svg, "nan"), 0u);
  EXPECT_EQ(count(svg, "aria-label='A &lt;map&gt; &amp; more'"), 1u);
  EXPECT_EQ(count(svg, "class='title'"), 0u);
  EXPECT_EQ(count(heat_map_file(sample_map()), "class='title'"), 1u);
}

TEST(HeatMapTest, CellsOfAnyValueDifferFromTheGroundAndGetStrongerWithIt) {
  const std::string svg = render_heat_map(sample_map(), {});
  for (const char* opacity : {"'0.06'", "'0.295'", "'0.53'", "'1'"})
    EXPECT_GE(count(svg, std::string("fill-opacity=") + opacity), 1u) << opacity;
}

TEST(HeatMapTest, TheWholeColourIsThatOfFullAndOfMore) {
  HeatMap map = sample_map();
  map.full = 0.25;
  const std::string svg = render_heat_map(map, {});
  EXPECT_EQ(count(svg, "fill-opacity='1'"), 5u);  // 1, 0.5, 0.25, 1, and the top of the legend
  EXPECT_EQ(count(svg, ">25%<"), 1u);
}

TEST(HeatMapTest, LettersThatWouldMeetAreLeftOut) {
  HeatMap map{.title = "t", .x_label = "x", .y_label = "y", .columns = {}, .rows = {}, .values = {}};
  for (int i = 0; i < 200; ++i) map.columns.push_back(std::to_string(i * 1000));
  for (int i = 0; i < 40; ++i) map.rows.push_back(std::to_string(i));
  map.values.assign(40, std::vector<double>(200, 0.5));
  const std::string svg = render_heat_map(map, {});
  EXPECT_EQ(count(svg, "class='cell'"), 40u * 200 + 10);  // and the legend
  EXPECT_EQ(count(svg, "class='on-"), 0u);
  EXPECT_LT(count(svg, "class='tick'"), 40u);
}

// The title of a model with a long name ran out of the drawing.
TEST(HeatMapTest, ALongTitleIsShortenedInItsMiddle) {
  HeatMap map{.title = "Passkey retrieval: " + std::string(200, 'm') + " end",
              .x_label = "x",
              .y_label = "y",
              .columns = {"a"},
              .rows = {"b"},
              .values = {{0.5}}};
  const std::string svg = heat_map_file(map);
  const size_t begin = svg.find("text-anchor='start'>Passkey retrieval: m");
  ASSERT_NE(begin, std::string::npos);
  const std::string title = svg.substr(begin + 20, svg.find('<', begin) - begin - 20);
  EXPECT_TRUE(title.ends_with("m end")) << title;
  EXPECT_LT(title.size(), 100U) << title;
}

eval::PasskeyLength length_with(int64_t target, std::vector<std::pair<double, bool>> tests) {
  eval::PasskeyLength length{.target = target, .tests = {}};
  for (const auto& [depth, is_correct] : tests)
    length.tests.push_back({.depth = depth, .answer = "", .is_correct = is_correct, .prompt_tokens = target + 7});
  return length;
}

TEST(PasskeyMapTest, TheTableHasLengthsAsRowsAndTenthsOfTheDepthAsColumns) {
  const std::string table = passkey_table_text(
      {length_with(1024, {{0.05, true}, {0.06, false}, {0.95, true}}), length_with(2048, {{0.5, false}})});
  EXPECT_EQ(
      table,
      "length  tokens  0-10%  10-20%  20-30%  30-40%  40-50%  50-60%  60-70%  70-80%  80-90%  90-100%  accuracy\n"
      "--------------------------------------------------------------------------------------------------------\n"
      "  1024    1031   0.50       -       -       -       -       -       -       -       -     1.00      0.67\n"
      "  2048    2055      -       -       -       -       -    0.00       -       -       -        -      0.00\n");
}

TEST(PasskeyMapTest, TheMapHasLengthsAsColumnsAndDepthsAsRows) {
  const HeatMap map = passkey_heat_map({length_with(1024, {{0.05, true}}), length_with(1500, {{0.15, false}})}, "m\n<");
  EXPECT_EQ(map.title, "Passkey retrieval: m?<");
  EXPECT_EQ(map.columns, (std::vector<std::string>{"1K", "1500"}));
  ASSERT_EQ(map.rows.size(), 10u);
  EXPECT_EQ(map.rows[9], "90-100%");
  EXPECT_EQ(map.values[0][0], 1);
  EXPECT_EQ(map.values[1][1], 0);
  EXPECT_TRUE(std::isnan(map.values[0][1]));
}

}  // namespace
}  // namespace hici::report
