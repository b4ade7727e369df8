// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longbench/predictions.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/json.h"

#include <algorithm>
#include <string_view>
#include <unordered_map>

namespace hici::eval {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxFileBytes = size_t{1} << 30;
constexpr size_t kMaxLineBytes = size_t{16} << 20;
constexpr int64_t kMaxPredictionLength = int64_t{1} << 40;

LongBenchPrediction read_prediction(const JsonObject& row, const LongBenchTask& task, bool with_lengths) {
  LongBenchPrediction prediction{.text = row.string("pred"),
                                 .answers = row.strings("answers"),
                                 .classes = {},
                                 .length = 0,
                                 .subject = row.subject()};
  HICI_CHECK(!prediction.answers.empty(), row.subject(), ": answers is an empty list, expected a right answer or more");
  if (task.metric == LongBenchMetric::kClassification) prediction.classes = row.strings("all_classes");
  if (with_lengths) prediction.length = row.integer("length", 0, kMaxPredictionLength);
  return prediction;
}

// Rows that carry the data set's `_id` may each come once.
void check_not_seen(const JsonObject& row, std::unordered_map<std::string, int64_t>& seen, int64_t line) {
  if (!row.has("_id")) return;
  const auto [first, is_new] = seen.try_emplace(row.string("_id"), line);
  HICI_CHECK(is_new, row.subject(), ": _id '", printable(first->first), "' is that of line ", first->second,
             " too; remove one of them, or the case counts twice");
}

}  // namespace

std::vector<LongBenchPrediction> read_longbench_predictions(const fs::path& file, const LongBenchTask& task,
                                                            bool with_lengths) {
  const std::string content = read_file(file, kMaxFileBytes);
  std::vector<LongBenchPrediction> predictions;
  std::unordered_map<std::string, int64_t> seen;
  int64_t line = 0;
  for (size_t at = 0; at < content.size();) {
    const size_t end = std::min(content.find('\n', at), content.size());
    const std::string subject = detail::concat(file.string(), ": line ", ++line);
    const nlohmann::json value = parse_json(std::string_view(content).substr(at, end - at), subject, kMaxLineBytes);
    const JsonObject row(value, subject);
    check_not_seen(row, seen, line);
    predictions.push_back(read_prediction(row, task, with_lengths));
    at = end + 1;
  }
  HICI_CHECK(!predictions.empty(), file.string(), ": is empty; the predictions were not made, or not to their end");
  return predictions;
}

}  // namespace hici::eval
