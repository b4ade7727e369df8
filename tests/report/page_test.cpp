// SPDX-License-Identifier: Apache-2.0
// What the page says; that it is well-formed is checked by report_command_test.py with a parser that is not ours.
#include "hici/report/page.h"

#include "hici/report/svg/plot.h"
#include "hici/report/tables/report_tables.h"
#include "support/has_part.h"

#include <gtest/gtest.h>

#include <string>

namespace hici::report {
namespace {

ReportData sample_data() {
  ReportData data;
  data.runs = {
      {.name = "base", .steps = {{.step = 1, .loss = 2.5, .seconds = 5}, {.step = 2, .loss = 2.0, .seconds = 9}}},
      {.name = "hici", .steps = {{.step = 1, .loss = 2.25, .peak_memory_bytes = 1536.0 * 1024}}}};
  data.perplexities = {{.label = "base", .attention = "full", .context = 256, .perplexity = 4.2},
                       {.label = "<b>&\"'", .attention = "HiCI", .context = 2048, .perplexity = 5}};
  return data;
}

TEST(PageTest, HoldsTablesFactsAndFigures) {
  const std::string page = render_page(sample_data(), "My <runs>");
  EXPECT_TRUE(testing::has_part(page, "<title>My &lt;runs&gt;</title>"));
  EXPECT_TRUE(testing::has_part(page, "<th scope='col'>2048</th>"));
  EXPECT_TRUE(testing::has_part(page, "<td class='best'>4.20</td>"));
  EXPECT_TRUE(testing::has_part(page, "Final loss (mean of last tenth)</th><td>2.000</td>"));
  EXPECT_TRUE(testing::has_part(page, "<td>1.50 MiB</td>"));
  EXPECT_TRUE(testing::has_part(page, "Training time</th><td>9s</td><td>-</td>"));
  EXPECT_TRUE(testing::has_part(page, "aria-label='Perplexity against evaluation context'"));
  EXPECT_TRUE(testing::has_part(page, "Figure 4.</b>"));
}

TEST(PageTest, TextFromFilesCannotBecomeMarkup) {
  const std::string page = render_page(sample_data(), "t");
  EXPECT_FALSE(testing::has_part(page, "<b>&\""));
  EXPECT_TRUE(testing::has_part(page, "&lt;b&gt;&amp;&quot;&#39;"));
}

TEST(PageTest, NumbersThatAreNoneNeverReachADrawing) {
  ReportData data = sample_data();
  data.runs[0].steps[0].loss = kNotANumber;
  data.perplexities[0].perplexity = kNotANumber;
  const std::string page = render_page(data, "t");
  EXPECT_FALSE(testing::has_part(page, "nan"));
  EXPECT_FALSE(testing::has_part(page, "inf "));
}

TEST(PageTest, ARunWithoutEvaluationAndAnEvaluationWithoutRunAreReports) {
  ReportData runs_only = sample_data();
  runs_only.perplexities.clear();
  EXPECT_FALSE(testing::has_part(render_page(runs_only, "t"), "Perplexity by context"));
  ReportData results_only = sample_data();
  results_only.runs.clear();
  EXPECT_FALSE(testing::has_part(render_page(results_only, "t"), "Training</h2>"));
  EXPECT_FALSE(testing::has_part(render_page(results_only, "t"), "<nav")) << "one section needs no list of sections";
}

TEST(PageTest, EachKindOfResultHasItsSection) {
  ReportData data = sample_data();
  data.passkeys = {{.label = "m", .attention = "full", .length = {.target = 4096, .tests = {}}}};
  data.passkeys[0].length.tests = {{.depth = 0.5, .answer = "", .is_correct = true}};
  data.retrievals = {{.label = "m", .judge = "", .num_items = 5, .num_correct = 49, .num_answers = 50}};
  data.longbench = {{.label = "m", .scores = {.model = "m", .tasks = {}}}};
  data.longbench[0].scores.tasks = {{.task = eval::find_longbench_task("lcc"), .all = {.score = 61.5}, .buckets = {}}};
  data.attentions = {{.label = "m", .global = {{0.25}}, .local = {{0.25}}, .token = {{0.5}}}};
  const std::string page = render_page(data, "t");
  size_t at = 0;
  for (const char* id : {"perplexity", "passkey", "retrieval", "longbench", "attention", "training"}) {
    const size_t found = page.find(std::string("<h2 id='") + id + "'>");
    ASSERT_NE(found, std::string::npos) << id;
    EXPECT_GT(found, at) << id;
    at = found;
    EXPECT_TRUE(testing::has_part(page, std::string("<a href='#") + id + "'>"));
  }
  EXPECT_TRUE(testing::has_part(page, "<td>0.98 <small>49/50</small></td>"));
  EXPECT_TRUE(testing::has_part(page, "<td>1.00 <small>1/1</small></td>"));
  EXPECT_TRUE(testing::has_part(page, "<title>4K, 50-60%: 100 %</title>"));
  EXPECT_TRUE(testing::has_part(page, "<td>61.50</td>"));
  EXPECT_TRUE(testing::has_part(page, "aria-label='Share of attention on global slots against layer'"));
  EXPECT_EQ(report_tables(data).size(), 9U);
}

TEST(PlotTest, AGapEndsTheLine) {
  const std::vector<Point> points = {{0, 1}, {1, 2}, {2, std::nan("")}, {3, 1}, {4, 2}};
  const Plot plot{.title = "t",
                  .x_label = "x",
                  .y_label = "y",
                  .x = axis_of({0, 4}, Scale::kLinear, 5),
                  .y = axis_of({1, 2}, Scale::kLinear, 5),
                  .has_markers = false,
                  .series = {{"s", points, {}}}};
  const std::string svg = render_svg(plot, {});
  const size_t path = svg.find("class='line'");
  ASSERT_NE(path, std::string::npos);
  const std::string drawn = svg.substr(path, svg.find("/>", path) - path);
  EXPECT_EQ(std::count(drawn.begin(), drawn.end(), 'M'), 2) << drawn;
}

}  // namespace
}  // namespace hici::report
