// SPDX-License-Identifier: Apache-2.0
#include "hici/report/collect.h"

#include "hici/base/error.h"
#include "hici/base/json_lines.h"
#include "hici/base/log.h"
#include "hici/eval/retrieval_scores.h"
#include "hici/report/clean_text.h"
#include "hici/report/result_files.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <string>
#include <unordered_map>

namespace hici::report {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kMaxDepth = 3;
constexpr size_t kMaxResultBytes = size_t{4} << 20;  // a larger .json in a run directory is data, not a result
constexpr const char* kMetricsName = "metrics.jsonl";
constexpr const char* kFilesInWords =
    "result of 'hici eval' or 'hici score topics --judge' (--output FILE), LongBench's result.json, "
    "NUMBER_response.txt of LongEval";

double number_or_nan(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_number() ? found->get<double>() : kNotANumber;
}

LoggedStep parse_step(const json& line) {
  return {.step = static_cast<int64_t>(number_or_nan(line, "step")),
          .loss = number_or_nan(line, "loss"),
          .learning_rate = number_or_nan(line, "learning_rate"),
          .hici_learning_rate = number_or_nan(line, "hici_learning_rate"),
          .tokens_per_second = number_or_nan(line, "tokens_per_second"),
          .epoch = number_or_nan(line, "epoch"),
          .tokens = number_or_nan(line, "tokens"),
          .peak_memory_bytes = number_or_nan(line, "peak_memory_bytes"),
          .seconds = number_or_nan(line, "seconds")};
}

TrainingRun read_run(const fs::path& metrics) {
  TrainingRun run{.name = clean_text(fs::weakly_canonical(metrics).parent_path().filename().string()), .steps = {}};
  for (const JsonLine& line : read_json_lines(metrics)) {
    const auto step = line.value.find("step");
    if (step != line.value.end() && step->is_number_integer()) run.steps.push_back(parse_step(line.value));
  }
  return run;
}

bool is_searched(const fs::directory_entry& folder) {
  const std::string name = folder.path().filename().string();
  return !name.starts_with(".") && !name.starts_with("checkpoint-");
}

// Files of the folder and its subfolders in the order of their paths, so that the same runs give the same report.
void list_files(const fs::path& folder, int depth, std::vector<fs::path>& files) {
  std::vector<fs::directory_entry> entries(fs::directory_iterator(folder), fs::directory_iterator{});
  std::sort(entries.begin(), entries.end());
  for (const fs::directory_entry& entry : entries) {
    if (entry.is_regular_file()) files.push_back(entry.path());
  }
  for (const fs::directory_entry& entry : entries) {
    if (entry.is_directory() && depth < kMaxDepth && is_searched(entry)) list_files(entry.path(), depth + 1, files);
  }
}

// What is measured, in words; of two results with the same words the later one counts.
std::string subject_of(const PerplexityResult& result) {
  return detail::concat(result.label, ", ", result.attention, " attention, context ", result.context);
}

std::string subject_of(const PasskeyResult& result) {
  return detail::concat("the passkey by ", result.label, ", ", result.attention, " attention, length ",
                        result.length.target);
}

std::string subject_of(const RetrievalResult& result) {
  const char* task = result.task == eval::RetrievalTask::kTopics ? " topics by " : " lines by ";
  return detail::concat(result.num_items, task, result.model, ", scored by ",
                        result.judge.empty() ? "rule" : result.judge);
}

std::string subject_of(const LongBenchResult& result) {
  return detail::concat(result.by_length ? "LongBench-E by " : "LongBench by ", result.scores.model);
}

std::string subject_of(const AttentionResult& result) { return "the attention shares of " + result.label; }

class Collector {
 public:
  void add_directory(const fs::path& directory) {
    std::vector<fs::path> files;
    list_files(directory, 0, files);
    for (const fs::path& file : files) {
      if (file.filename() == kMetricsName) add_run(file);
      if (is_result(file)) add_or_warn(file);
    }
  }

  void add_file(const fs::path& file) {
    if (file.filename() == kMetricsName) return add_run(file);
    HICI_CHECK(add_results(file), file.string(), ": holds no result that a report knows; give a run directory, or a ",
               kFilesInWords);
  }

  ReportData take() { return std::move(data_); }
  bool empty() const {
    return data_.runs.empty() && data_.perplexities.empty() && data_.passkeys.empty() && data_.retrievals.empty() &&
           data_.longbench.empty() && data_.attentions.empty();
  }

 private:
  static bool is_result(const fs::path& file) {
    if (eval::is_response_file(file)) return true;
    return file.extension() == ".json" && fs::file_size(file) <= kMaxResultBytes;
  }

  void add_run(const fs::path& metrics) {
    TrainingRun run = read_run(metrics);
    if (!run.steps.empty()) data_.runs.push_back(std::move(run));
  }

  void add_or_warn(const fs::path& file) {
    try {
      add_results(file);
    } catch (const Error& e) {
      log_warning(e.what(), "; left out of the report");
    }
  }

  // False for a file that holds none.
  bool add_results(const fs::path& file) {
    const ReportData found = eval::is_response_file(file) ? read_response_file(file) : read_result_file(file);
    return (add_each(found.perplexities, data_.perplexities, file) + add_each(found.passkeys, data_.passkeys, file) +
            add_each(found.retrievals, data_.retrievals, file) + add_each(found.longbench, data_.longbench, file) +
            add_each(found.attentions, data_.attentions, file)) > 0;
  }

  // Returns how many there were.
  template <typename Result>
  size_t add_each(const std::vector<Result>& found, std::vector<Result>& all, const fs::path& file) {
    for (const Result& result : found) {
      const std::string subject = subject_of(result);
      const auto [place, is_new] = places_.try_emplace(subject, all.size());
      if (is_new) {
        all.push_back(result);
        continue;
      }
      Result& before = all[place->second];
      if constexpr (std::equality_comparable<Result>) {
        if (before == result) continue;  // answers, and a file of their scores beside them
      }
      log_warning(file.string(), ": a second result for ", subject, "; this one counts");
      before = result;
    }
    return found.size();
  }

  ReportData data_;
  std::unordered_map<std::string, size_t> places_;  // by subject: where it is in its list
};

}  // namespace

ReportData collect(const std::vector<fs::path>& paths) {
  Collector collector;
  for (const fs::path& path : paths) {
    HICI_CHECK(fs::exists(path), path.string(), ": no such file or directory; give run directories or result files");
    if (fs::is_directory(path)) {
      collector.add_directory(path);
    } else {
      collector.add_file(path);
    }
  }
  HICI_CHECK(!collector.empty(), paths.front().string(), paths.size() > 1 ? " ..." : "", ": nothing to report, no ",
             kMetricsName, " and no ", kFilesInWords);
  return collector.take();
}

}  // namespace hici::report
