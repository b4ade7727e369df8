// SPDX-License-Identifier: Apache-2.0
#include "hici/report/page.h"

#include "hici/report/figures.h"
#include "hici/report/page_writer.h"
#include "hici/report/run_facts.h"
#include "hici/report/svg/looks.h"
#include "hici/report/svg/passkey_map.h"
#include "hici/report/tables/attention_table.h"
#include "hici/report/tables/passkey_table.h"
#include "hici/report/tables/perplexity_table.h"
#include "hici/report/tables/report_tables.h"

namespace hici::report {
namespace {

constexpr PlotSize kWide{.width = 780, .height = 400, .css_class = "wide", .has_direct_labels = true};
constexpr PlotSize kWideMap{.width = 780, .height = 300, .css_class = "wide", .has_direct_labels = false};
constexpr PlotSize kNarrowMap{.width = 350, .height = 300, .css_class = "narrow", .has_direct_labels = false};
constexpr PlotSize kHalf{.width = 378, .height = 260, .css_class = "wide", .has_direct_labels = false};

// A figure of each comparison: one alone is wide, several stand side by side.
template <typename Result, typename MakePlot>
void write_figures(const std::vector<Comparison<Result>>& comparisons, const MakePlot& make_plot,
                   const std::string& caption, PageWriter& page) {
  if (comparisons.size() == 1)
    return page.figure(make_plot(comparisons[0].results), kWide, caption + comparisons[0].words + ".");
  page.begin_pair();
  for (const Comparison<Result>& comparison : comparisons)
    page.figure(make_plot(comparison.results), kHalf, caption + comparison.words + ".");
  page.end_pair();
}

void write_perplexities(const ReportData& data, const Looks& looks, PageWriter& page) {
  if (data.perplexities.empty()) return;
  page.section("perplexity", "Perplexity by context");
  const auto comparisons = comparisons_of(data.perplexities);
  for (const auto& comparison : comparisons)
    page.table(with_conditions(perplexity_table(comparison.results), comparison));
  write_figures(
      comparisons, [&](const auto& results) { return perplexity_plot(results, looks); },
      "Perplexity (lower is better) against the context at which it was measured, both axes logarithmic", page);
}

void write_passkeys(const ReportData& data, PageWriter& page) {
  if (data.passkeys.empty()) return;
  page.section("passkey", "Passkey retrieval");
  const auto comparisons = comparisons_of(data.passkeys);
  for (const auto& comparison : comparisons) page.table(with_conditions(passkey_table(comparison.results), comparison));
  for (const auto& comparison : comparisons) {
    for (const PasskeyModel& model : passkey_models(comparison.results)) {
      const HeatMap map = passkey_heat_map(model.lengths, model.name);
      page.figure(render_heat_map(map, kWideMap), render_heat_map(map, kNarrowMap),
                  "Passkeys found by " + model.name + comparison.words +
                      ": percent of each tenth of the depth (from the beginning of the prompt, on top, to its end) and "
                      "each length. Dashed: nothing was asked there.");
    }
  }
}

void write_retrieval(const ReportData& data, PageWriter& page) {
  if (data.retrievals.empty()) return;
  page.section("retrieval", "Retrieval of topics and lines");
  for (const Table& table : retrieval_tables(data)) page.table(table);
}

void write_longbench(const ReportData& data, PageWriter& page) {
  if (data.longbench.empty()) return;
  page.section("longbench", "LongBench");
  for (const Table& table : longbench_tables(data.longbench)) page.table(table);
}

void write_attention(const ReportData& data, const Looks& looks, PageWriter& page) {
  if (data.attentions.empty()) return;
  page.section("attention", "Where attention goes");
  for (const auto& comparison : comparisons_of(data.attentions)) {
    const std::vector<AttentionResult>& results = comparison.results;
    page.table(with_conditions(attention_table(results), comparison));
    page.begin_pair();
    page.figure(attention_plot(results, &AttentionResult::global, "global slots", looks), kHalf,
                "Share of attention on global slots by layer, mean over heads" + comparison.words + ".");
    page.figure(attention_plot(results, &AttentionResult::local, "local slots", looks), kHalf,
                "Share of attention on local slots by layer, mean over heads" + comparison.words + ".");
    page.end_pair();
  }
}

// What no run says is no row.
HtmlTable facts_table(const Comparison<TrainingRun>& comparison) {
  HtmlTable table{
      .caption = "The training runs" + comparison.words, .headings = {"Run"}, .is_full_width = false, .rows = {}};
  std::vector<std::vector<Fact>> facts;
  for (const TrainingRun& run : comparison.results) {
    table.headings.push_back(run.name);
    facts.push_back(facts_of(run));
  }
  for (size_t i = 0; i < facts.front().size(); ++i) {
    std::vector<HtmlCell> row{{.text = facts.front()[i].name}};
    bool is_stated = false;
    for (const std::vector<Fact>& of_run : facts) {
      row.push_back({.text = of_run[i].value});
      is_stated = is_stated || of_run[i].value != kNoFact;
    }
    if (is_stated) table.rows.push_back(std::move(row));
  }
  return table;
}

void write_runs(const ReportData& data, const Looks& looks, PageWriter& page) {
  if (data.runs.empty()) return;
  page.section("training", "Training");
  for (const Comparison<TrainingRun>& comparison : comparisons_of(data.runs)) {
    const std::vector<TrainingRun>& runs = comparison.results;
    page.table(facts_table(comparison));
    const Plot loss = loss_plot(runs, looks);
    page.figure(loss, kWide,
                "Training loss by optimizer step" + comparison.words +
                    ". Thin: each logged step; thick: moving mean. " +
                    (loss.y.scale == Scale::kLog ? "Logarithmic loss axis." : ""));
    page.begin_pair();
    page.figure(learning_rate_plot(runs, looks), kHalf, "Learning rate by optimizer step" + comparison.words + ".");
    page.figure(
        speed_plot(runs, looks), kHalf,
        "Training speed by optimizer step" + comparison.words + "; thin: each logged step, thick: moving mean.");
    page.end_pair();
  }
}

void write_left_out(const ReportData& data, PageWriter& page) {
  if (data.left_out.empty()) return;
  page.section("left-out", "Left out");
  page.list(data.left_out);
}

std::string counted(size_t count, const char* one, const char* many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

std::string byline_of(const ReportData& data) {
  return counted(data.runs.size(), "training run", "training runs") + ", " +
         counted(data.num_results(), "result", "results");
}

}  // namespace

std::string render_page(const ReportData& data, const std::string& title) {
  const Looks looks(data);
  PageWriter page(title, byline_of(data));
  write_perplexities(data, looks, page);
  write_passkeys(data, page);
  write_retrieval(data, page);
  write_longbench(data, page);
  write_attention(data, looks, page);
  write_runs(data, looks, page);
  write_left_out(data, page);
  return page.finish();
}

}  // namespace hici::report
