// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longbench/scores.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/json.h"
#include "hici/base/parallel_for.h"
#include "hici/base/text_table.h"

#include <algorithm>
#include <cmath>
#include <cstdlib>

namespace hici::eval {
namespace {

namespace fs = std::filesystem;

struct Job {
  const LongBenchTask* task;
  LongBenchPrediction prediction;
  double score = 0;
};

std::vector<const LongBenchTask*> tasks_in(const fs::path& folder, const std::vector<std::string>& datasets) {
  HICI_CHECK(fs::is_directory(folder), folder.string(),
             ": is no directory; expected the folder of a model's predictions, one .jsonl file for each data set");
  for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() != ".jsonl") continue;
    HICI_CHECK(find_longbench_task(entry.path().stem().string()), entry.path().string(), ": '",
               printable(entry.path().stem().string()),
               "' is no data set of LongBench; known: ", longbench_task_names());
  }
  std::vector<const LongBenchTask*> tasks;
  for (const LongBenchTask& task : longbench_tasks()) {
    const bool is_wanted = std::find(datasets.begin(), datasets.end(), task.name) != datasets.end();
    const bool is_there = fs::exists(folder / (std::string(task.name) + ".jsonl"));
    HICI_CHECK(is_there || !is_wanted, folder.string(), ": has no ", task.name, ".jsonl; `datasets` asks for it");
    if (is_there && (is_wanted || datasets.empty())) tasks.push_back(&task);
  }
  HICI_CHECK(!tasks.empty(), folder.string(), ": has no predictions; expected files like narrativeqa.jsonl");
  return tasks;
}

// Adds the scores of jobs [begin, end) that `belongs`, in their order, so that the sum is that of eval.py.
template <typename Belongs>
LongBenchScore mean_score(const std::vector<Job>& jobs, size_t begin, size_t end, const Belongs& belongs) {
  LongBenchScore mean;
  double sum = 0;
  for (size_t i = begin; i < end; ++i) {
    if (!belongs(jobs[i].prediction)) continue;
    sum += jobs[i].score;
    ++mean.num_rows;
  }
  if (mean.num_rows > 0) mean.score = rounded_to_cents(100 * sum / static_cast<double>(mean.num_rows));
  return mean;
}

size_t bucket_of(int64_t length) { return length < 4000 ? 0 : length < 8000 ? 1 : 2; }

}  // namespace

double rounded_to_cents(double value) { return std::strtod(fixed_digits(value, 2).c_str(), nullptr); }

LongBenchModelScores score_longbench(const fs::path& folder, const LongBenchScoring& options) {
  const std::vector<const LongBenchTask*> tasks = tasks_in(folder, options.datasets);
  std::vector<Job> jobs;
  std::vector<size_t> ends;
  for (const LongBenchTask* task : tasks) {
    const fs::path file = folder / (std::string(task->name) + ".jsonl");
    auto predictions = read_longbench_predictions(file, *task, options.by_length);
    const auto num_rows = static_cast<int64_t>(predictions.size());
    HICI_CHECK(options.by_length || num_rows <= task->num_rows, file.string(), ": has ", num_rows, " rows and ",
               task->name, " ", task->num_rows, "; some were predicted twice (or are of LongBench-E: use -e)");
    for (LongBenchPrediction& prediction : predictions) jobs.push_back({task, std::move(prediction)});
    ends.push_back(jobs.size());
  }
  parallel_for(jobs.size(), [&](size_t i) {
    jobs[i].score = score_prediction(*jobs[i].task, jobs[i].prediction, options.code_ratio);
  });

  LongBenchModelScores scores{.model = fs::absolute(folder).lexically_normal().filename().string(),
                              .tasks = {},
                              .code_ratio = options.code_ratio};
  if (scores.model.empty()) scores.model = fs::absolute(folder).lexically_normal().parent_path().filename().string();
  for (size_t t = 0; t < tasks.size(); ++t) {
    const size_t begin = t == 0 ? 0 : ends[t - 1];
    LongBenchTaskScore score{
        .task = tasks[t], .all = mean_score(jobs, begin, ends[t], [](const auto&) { return true; }), .buckets = {}};
    for (size_t b = 0; options.by_length && b < score.buckets.size(); ++b)
      score.buckets[b] = mean_score(jobs, begin, ends[t], [&](const auto& p) { return bucket_of(p.length) == b; });
    scores.tasks.push_back(score);
  }
  return scores;
}

nlohmann::ordered_json longbench_result(const LongBenchModelScores& scores, bool by_length) {
  const auto json_of = [](const LongBenchScore& score) {
    return std::isfinite(score.score) ? nlohmann::ordered_json(score.score) : nlohmann::ordered_json(nullptr);
  };
  nlohmann::ordered_json result = nlohmann::ordered_json::object();
  for (const LongBenchTaskScore& score : scores.tasks) {
    nlohmann::ordered_json& entry = result[std::string(score.task->name)];
    if (!by_length) entry = json_of(score.all);
    for (size_t b = 0; by_length && b < score.buckets.size(); ++b)
      entry[std::string(kLongBenchBuckets[b])] = json_of(score.buckets[b]);
  }
  return result;
}

}  // namespace hici::eval
