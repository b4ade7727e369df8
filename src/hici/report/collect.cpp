// SPDX-License-Identifier: Apache-2.0
#include "hici/report/collect.h"

#include "hici/base/clean_text.h"
#include "hici/base/error.h"
#include "hici/base/log.h"
#include "hici/eval/longeval/scores.h"
#include "hici/report/model_names.h"
#include "hici/report/origin.h"
#include "hici/report/result_files.h"
#include "hici/report/run_files.h"
#include "hici/report/tell_apart.h"

#include <algorithm>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <set>
#include <string>

namespace hici::report {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxDepth = 3;
constexpr size_t kMaxUnknownBytes = size_t{4} << 20;  // a larger .json that does not begin like a result is data
constexpr size_t kHeadBytes = 4096;
constexpr const char* kFilesInWords =
    "result of 'hici eval' or 'hici score topics `judge`' (`output` FILE), LongBench's result.json, "
    "NUMBER_response.txt of LongEval";

bool is_searched(const fs::directory_entry& folder) {
  const std::string name = folder.path().filename().string();
  return !name.starts_with(".") && !name.starts_with("checkpoint-");
}

bool begins_like_a_result(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::string head(kHeadBytes, '\0');
  in.read(head.data(), static_cast<std::streamsize>(head.size()));
  head.resize(static_cast<size_t>(in.gcount()));
  return head.find("\"eval p") != std::string::npos || head.find("\"eval attention\"") != std::string::npos;
}

bool may_be_result(const fs::path& file) {
  if (eval::is_response_file(file)) return true;
  if (file.extension() != ".json") return false;
  std::error_code problem;
  return fs::file_size(file, problem) <= kMaxUnknownBytes || begins_like_a_result(file);
}

template <typename Result>
void append(std::vector<Result>& from, std::vector<Result>& to) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

class Collector {
 public:
  void add_directory(const fs::path& directory) {
    const size_t before = num_found() + data_.left_out.size();
    search(directory, 0);
    if (num_found() + data_.left_out.size() == before)
      leave_out(hici::detail::concat(directory.string(), ": nothing to report, no ", kMetricsName, " and no ",
                                     kFilesInWords));
  }

  void add_named(const fs::path& path) {
    const size_t before = data_.left_out.size();
    if (!fs::exists(path)) {
      leave_out(path.string() + ": no such file or directory; give run directories or result files");
    } else {
      add_file(path, /*is_named=*/true);
    }
    data_.num_named_left_out += data_.left_out.size() - before;
  }

  ReportData take() { return std::move(data_); }
  size_t num_found() const { return data_.runs.size() + data_.num_results() + num_repeated_; }

 private:
  void leave_out(const std::string& why) { data_.left_out.push_back(clean_text(why)); }

  // Files first, both in the order of their names, so that the same runs give the same report.
  void search(const fs::path& folder, int depth) {
    std::error_code problem;
    std::vector<fs::directory_entry> entries;
    for (fs::directory_iterator at(folder, problem), end; !problem && at != end; at.increment(problem))
      entries.push_back(*at);
    if (problem) return leave_out(folder.string() + ": cannot be searched (" + problem.message() + ")");
    std::sort(entries.begin(), entries.end());
    for (const fs::directory_entry& entry : entries) {
      if (entry.is_regular_file(problem)) add_file(entry.path(), /*is_named=*/false);
    }
    for (const fs::directory_entry& entry : entries) {
      if (!entry.is_directory(problem) || !is_searched(entry)) continue;
      if (depth == kMaxDepth) {
        log_info(entry.path().string(), ": lies too deep to be searched; name it to have what is in it");
      } else {
        search(entry.path(), depth + 1);
      }
    }
  }

  void add_file(const fs::path& file, bool is_named) {
    const bool is_run = file.filename() == kMetricsName;
    if (!is_run && !is_named && !may_be_result(file)) return;
    if (!seen_.insert(fs::weakly_canonical(file)).second) {
      ++num_repeated_;
      return;
    }
    try {
      const bool is_taken = is_run ? add_run(file) : add_results(file);
      if (is_taken || (!is_named && !is_run)) return;
      leave_out(is_run ? file.string() + ": holds no step of a training run"
                       : hici::detail::concat(file.string(),
                                              ": holds no result that a report knows; give a run directory, or a ",
                                              kFilesInWords));
    } catch (const Error& e) {
      leave_out(e.what());
    }
  }

  bool add_run(const fs::path& metrics) {
    TrainingRun run = read_run(metrics);
    if (run.steps.empty()) return false;
    data_.runs.push_back(std::move(run));
    return true;
  }

  // False for a file that holds none.
  bool add_results(const fs::path& file) {
    ReportData found = eval::is_response_file(file) ? read_response_file(file) : read_result_file(file);
    append(found.perplexities, data_.perplexities);
    append(found.passkeys, data_.passkeys);
    append(found.retrievals, data_.retrievals);
    append(found.longbench, data_.longbench);
    append(found.attentions, data_.attentions);
    return found.num_results() > 0;
  }

  ReportData data_;
  std::set<fs::path> seen_;
  size_t num_repeated_ = 0;
};

// A file of judged scores has the scores by rule as well: they are those of the answers, where these are there too.
void drop_copies_of_scores(std::vector<RetrievalResult>& results) {
  const auto is_copy_of = [](const RetrievalResult& copy, const RetrievalResult& original) {
    return copy.origin.path.empty() && !original.origin.path.empty() && copy.judge.empty() &&
           copy.label == original.label && copy.task == original.task && copy.num_items == original.num_items &&
           copy.num_correct == original.num_correct && copy.num_answers == original.num_answers;
  };
  std::vector<RetrievalResult> kept;
  for (const RetrievalResult& result : results) {
    if (std::none_of(results.begin(), results.end(), [&](const auto& other) { return is_copy_of(result, other); }))
      kept.push_back(result);
  }
  results = std::move(kept);
}

// A window as long as the context has another beside it, and is one every so many tokens too where other contexts have
// that: what the data's other results are decides how it is called.
void add_windows(std::vector<PerplexityResult>& results) {
  std::set<std::string> strides_of_several;
  const auto key = [](const PerplexityResult& result) {
    const Conditions& c = result.conditions;
    return c.data_sha256 + "\n" + c.data + "\n" + c.settings_text() + "\n" + std::to_string(result.stride);
  };
  for (const PerplexityResult& result : results) {
    if (result.stride != result.context) strides_of_several.insert(key(result));
  }
  std::vector<std::string> words;
  for (const PerplexityResult& result : results) {
    const bool stands_alone = result.stride == result.context && !strides_of_several.contains(key(result));
    words.push_back(stands_alone ? "windows side by side" : window_words(result.stride));
  }
  for (size_t i = 0; i < results.size(); ++i) {
    std::vector<std::string>& settings = results[i].conditions.settings;
    if (results[i].stride > 0) settings.insert(settings.begin(), words[i]);
  }
}

template <typename Result>
void list_conditions(std::vector<Result>& results, std::vector<Conditions*>& all) {
  for (Result& result : results) all.push_back(&result.conditions);
}

void name_runs(std::vector<TrainingRun>& runs) {
  std::vector<std::string> folders;
  for (const TrainingRun& run : runs) folders.push_back(run.folder);
  const std::vector<std::string> names = distinct_names(folders);
  for (size_t i = 0; i < runs.size(); ++i) runs[i].name = names[i];
}

void name_everything(ReportData& data) {
  std::vector<Conditions*> all;
  list_conditions(data.perplexities, all);
  list_conditions(data.attentions, all);
  list_conditions(data.runs, all);
  name_data(all);
  name_models(data);
  name_runs(data.runs);
}

}  // namespace

ReportData collect(const std::vector<fs::path>& paths) {
  Collector collector;
  for (const fs::path& path : paths) fs::is_directory(path) ? collector.add_directory(path) : collector.add_named(path);
  const bool is_empty = collector.num_found() == 0;
  ReportData data = collector.take();
  HICI_CHECK(!is_empty || data.left_out.size() > 1, data.left_out.empty() ? "" : data.left_out.front());
  for (const std::string& why : data.left_out) log_warning(why, "; left out of the report");
  HICI_CHECK(!is_empty, paths.front().string(), " ...: nothing to report; the lines above say why");
  drop_copies_of_scores(data.retrievals);
  add_windows(data.perplexities);
  name_everything(data);
  tell_apart(data);
  return data;
}

}  // namespace hici::report
