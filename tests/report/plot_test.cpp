// SPDX-License-Identifier: Apache-2.0
#include "hici/report/svg/plot.h"

#include "hici/report/figures.h"
#include "support/has_part.h"

#include <gtest/gtest.h>

#include <set>

namespace hici::report {
namespace {

Plot lines(size_t count, const std::string& name) {
  Plot plot{.title = "t",
            .x_label = "x",
            .y_label = "y",
            .x = axis_of({0, 1}, Scale::kLinear, 5),
            .y = axis_of({0, 1}, Scale::kLinear, 5),
            .has_markers = true,
            .series = {}};
  for (size_t i = 0; i < count; ++i)
    plot.series.push_back({.name = name + std::to_string(i), .points = {{0, 0.5}, {1, 1}}, .look = {.owner = i}});
  return plot;
}

// Names were cut to 28 bytes, and of many lines the names went out of the drawing.
TEST(PlotTest, NamesThatDoNotFitStandInALegendInstead) {
  const PlotSize wide{.width = 780, .height = 400};
  EXPECT_TRUE(fits_direct_labels(lines(5, "model-"), wide));
  EXPECT_FALSE(fits_direct_labels(lines(40, "model-"), wide));
  EXPECT_FALSE(fits_direct_labels(lines(2, std::string(60, 'm')), wide));
  EXPECT_FALSE(fits_direct_labels(lines(1, "model-"), wide)) << "one line needs no name";
  EXPECT_FALSE(testing::has_part(render_svg(lines(2, std::string(60, 'm')), wide), "class='series'"));
  EXPECT_TRUE(testing::has_part(render_svg(lines(2, "model-"), wide), ">model-1</text>"));
}

TEST(PlotTest, ThirtyOwnersDifferByColourAndMarker) {
  std::set<std::string> swatches;
  for (size_t i = 0; i < 30; ++i) swatches.insert(render_swatch({.owner = i}, true));
  EXPECT_EQ(swatches.size(), 30U);
  std::set<std::string> without_markers;
  for (size_t i = 0; i < 24; ++i) without_markers.insert(render_swatch({.owner = i}, false));
  EXPECT_EQ(without_markers.size(), 24U) << "by dashes";
}

TEST(PlotTest, ASecondLineOfOneOwnerHasItsColourAndIsDashed) {
  const std::string swatch = render_swatch({.owner = 1, .variant = 1}, true);
  EXPECT_TRUE(testing::has_part(swatch, "var(--series-2)")) << swatch;
  EXPECT_TRUE(testing::has_part(swatch, "stroke-dasharray")) << swatch;
  EXPECT_FALSE(testing::has_part(render_swatch({.owner = 1}, true), "stroke-dasharray"));
}

TEST(PlotTest, LongTextIsShortenedInItsMiddle) {
  EXPECT_EQ(shortened("short", 200), "short");
  const std::string text = shortened("runs/a-very-long-name-of-a-model/checkpoint-1000", 120);
  EXPECT_LE(text_width(text), 120);
  EXPECT_EQ(text.find("runs/"), 0U) << text;
  EXPECT_TRUE(text.ends_with("-1000")) << text;
  EXPECT_TRUE(testing::has_part(text, "\xE2\x80\xA6"));
  EXPECT_EQ(shortened("\xE6\xBC\xA2\xE6\xBC\xA2\xE6\xBC\xA2", 30), "\xE6\xBC\xA2\xE2\x80\xA6") << "whole characters";
}

TEST(LooksTest, AModelHasOneColourInAllFigures) {
  ReportData data;
  data.perplexities = {{.label = "a", .attention = "full", .context = 256, .perplexity = 4},
                       {.label = "b", .attention = "full", .context = 256, .perplexity = 4},
                       {.label = "b", .attention = "HiCI", .context = 256, .perplexity = 4}};
  data.attentions = {{.label = "b", .global = {{0.5}}, .local = {{0.5}}, .token = {{0}}}};
  data.runs = {{.name = "c", .steps = {{.step = 1, .loss = 2}}}, {.name = "b", .steps = {{.step = 1, .loss = 2}}}};
  const Looks looks(data);
  const Plot perplexity = perplexity_plot({data.perplexities[1], data.perplexities[2]}, looks);
  EXPECT_EQ(perplexity.series[0].look.owner, 1U);
  EXPECT_EQ(perplexity.series[1].look.owner, 1U);
  EXPECT_EQ(perplexity.series[1].look.variant, 1U);
  EXPECT_EQ(attention_plot(data.attentions, &AttentionResult::global, "slots", looks).series[0].look.owner, 1U);
  const Plot loss = loss_plot(data.runs, looks);
  EXPECT_EQ(loss.series[0].look.owner, 2U);
  EXPECT_EQ(loss.series[1].look.owner, 1U);
}

TEST(LooksTest, ARunWithoutHiciHasNoRateOfIt) {
  const TrainingRun run{.name = "a", .steps = {{.step = 1, .learning_rate = 1e-3, .hici_learning_rate = kNotANumber}}};
  EXPECT_EQ(learning_rate_plot({run}, Looks({})).series.size(), 1U);
}

}  // namespace
}  // namespace hici::report
