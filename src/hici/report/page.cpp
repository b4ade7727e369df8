// SPDX-License-Identifier: Apache-2.0
#include "hici/report/page.h"

#include "hici/report/attention_table.h"
#include "hici/report/figures.h"
#include "hici/report/page_writer.h"
#include "hici/report/passkey_map.h"
#include "hici/report/passkey_table.h"
#include "hici/report/perplexity_table.h"
#include "hici/report/report_tables.h"
#include "hici/report/run_facts.h"

namespace hici::report {
namespace {

constexpr PlotSize kWide{.width = 780, .height = 400, .css_class = "wide", .has_direct_labels = true};
constexpr PlotSize kWideMap{.width = 780, .height = 300, .css_class = "wide", .has_direct_labels = false};
constexpr PlotSize kNarrowMap{.width = 350, .height = 300, .css_class = "narrow", .has_direct_labels = false};
constexpr PlotSize kHalf{.width = 378, .height = 260, .css_class = "wide", .has_direct_labels = false};

void write_perplexities(const ReportData& data, PageWriter& page) {
  if (data.perplexities.empty()) return;
  page.section("perplexity", "Perplexity by context");
  page.table(perplexity_table(data.perplexities));
  page.figure(perplexity_plot(data.perplexities), kWide,
              "Perplexity (lower is better) against the context at which it was measured; both axes are logarithmic.");
}

void write_passkeys(const ReportData& data, PageWriter& page) {
  if (data.passkeys.empty()) return;
  page.section("passkey", "Passkey retrieval");
  page.table(passkey_table(data.passkeys));
  for (const PasskeyModel& model : passkey_models(data.passkeys)) {
    const HeatMap map = passkey_heat_map(model.lengths, model.name);
    page.figure(render_heat_map(map, kWideMap), render_heat_map(map, kNarrowMap),
                "Passkeys found by " + model.name +
                    ", percent of each tenth of the depth (from the beginning of the prompt, on top, to its end) and "
                    "each length. Dashed: nothing was asked there.");
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
  for (const Table& table : longbench_tables(data)) page.table(table);
}

void write_attention(const ReportData& data, PageWriter& page) {
  if (data.attentions.empty()) return;
  page.section("attention", "Where attention goes");
  page.table(attention_table(data.attentions));
  page.begin_pair();
  page.figure(attention_plot(data.attentions, &AttentionResult::global, "global slots"), kHalf,
              "Share of attention on global slots by layer, mean over heads.");
  page.figure(attention_plot(data.attentions, &AttentionResult::local, "local slots"), kHalf,
              "Share of attention on local slots by layer, mean over heads.");
  page.end_pair();
}

HtmlTable facts_table(const std::vector<TrainingRun>& runs) {
  HtmlTable table{.caption = "The training runs", .headings = {"Run"}, .is_full_width = false};
  for (const Fact& fact : facts_of(runs.front())) table.rows.push_back({{.text = fact.name}});
  for (const TrainingRun& run : runs) {
    table.headings.push_back(run.name);
    const std::vector<Fact> facts = facts_of(run);
    for (size_t i = 0; i < facts.size(); ++i) table.rows[i].push_back({.text = facts[i].value});
  }
  return table;
}

void write_runs(const ReportData& data, PageWriter& page) {
  if (data.runs.empty()) return;
  page.section("training", "Training");
  page.table(facts_table(data.runs));
  const Plot loss = loss_plot(data.runs);
  page.figure(loss, kWide,
              std::string("Training loss by optimizer step. Thin: each logged step; thick: moving mean. ") +
                  (loss.y.scale == Scale::kLog ? "Logarithmic loss axis." : ""));
  page.begin_pair();
  page.figure(learning_rate_plot(data.runs), kHalf, "Learning rate by optimizer step.");
  page.figure(speed_plot(data.runs), kHalf,
              "Training speed by optimizer step; thin: each logged step, thick: moving mean.");
  page.end_pair();
}

std::string counted(size_t count, const char* one, const char* many) {
  return std::to_string(count) + " " + (count == 1 ? one : many);
}

std::string byline_of(const ReportData& data) {
  const size_t results = data.perplexities.size() + data.passkeys.size() + data.retrievals.size() +
                         data.longbench.size() + data.attentions.size();
  return counted(data.runs.size(), "training run", "training runs") + ", " + counted(results, "result", "results");
}

}  // namespace

std::string render_page(const ReportData& data, const std::string& title) {
  PageWriter page(title, byline_of(data));
  write_perplexities(data, page);
  write_passkeys(data, page);
  write_retrieval(data, page);
  write_longbench(data, page);
  write_attention(data, page);
  write_runs(data, page);
  return page.finish();
}

}  // namespace hici::report
