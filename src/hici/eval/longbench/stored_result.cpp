// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longbench/stored_result.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/is_there.h"
#include "hici/base/joined.h"
#include "hici/base/json.h"
#include "hici/base/text_table.h"

#include <cmath>
#include <limits>

namespace hici::eval {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr double kSameScore = 0.005 - 1e-9;  // both have two decimals

// Python writes NaN for a bucket without rows, which is no JSON.
std::string with_null_for_nan(std::string text) {
  constexpr std::string_view kNan = "NaN";
  for (size_t at = text.find(kNan); at != std::string::npos; at = text.find(kNan, at)) {
    const bool is_value = at > 0 && (text[at - 1] == ' ' || text[at - 1] == ':');
    if (is_value) text.replace(at, kNan.size(), "null");
    at += kNan.size();
  }
  return text;
}

json read_stored(const fs::path& file) {
  json value = parse_json(with_null_for_nan(read_file(file, kMaxResultBytes)), file.string(), kMaxResultBytes);
  HICI_CHECK(value.is_object(), file.string(), ": is ", shown_json(value), ", expected data sets with their scores");
  return value;
}

std::string shown(double score) { return std::isfinite(score) ? fixed_digits(score, 2) : "none"; }

bool is_same(double one, double other) {
  if (!std::isfinite(one) || !std::isfinite(other)) return std::isfinite(one) == std::isfinite(other);
  return std::abs(one - other) < kSameScore;
}

// "57.19, here 59.45 (2.26 more)"
std::string both_in_words(double theirs, double ours) {
  std::string words = shown(theirs) + ", here " + shown(ours);
  if (!std::isfinite(theirs) || !std::isfinite(ours)) return words;
  return words + " (" + shown(std::abs(ours - theirs)) + (ours > theirs ? " more)" : " less)");
}

// The scores of a data set: one, or one for each bucket. An hici::Error for a value of another form.
std::vector<double> stored_scores(const JsonObject& stored, const std::string& name, bool by_length) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  if (!by_length) {
    HICI_CHECK(!stored.has(name) || !stored.at(name).is_object(), stored.subject(), ": ", name,
               " has scores by length of the context; use `e` to compare them");
    return {stored.number_or(name, kNone)};
  }
  if (!stored.has(name)) return std::vector<double>(kLongBenchBuckets.size(), kNone);
  HICI_CHECK(!stored.at(name).is_number(), stored.subject(), ": ", name,
             " has one score, and `e` makes one for each length of the context; leave that out to compare them");
  const JsonObject buckets = stored.object(name);
  std::vector<double> scores;
  for (const std::string_view bucket : kLongBenchBuckets)
    scores.push_back(buckets.number_or(std::string(bucket), kNone));
  return scores;
}

std::vector<double> own_scores(const LongBenchTaskScore& score, bool by_length) {
  if (!by_length) return {score.all.score};
  std::vector<double> scores;
  for (const LongBenchScore& bucket : score.buckets) scores.push_back(bucket.score);
  return scores;
}

bool are_same(const std::vector<double>& some, const std::vector<double>& others) {
  for (size_t i = 0; i < some.size(); ++i) {
    if (!is_same(some[i], others[i])) return false;
  }
  return true;
}

// "; `code_ratio` difflib gives their score" where it does.
std::string explanation(const fs::path& folder, const LongBenchTask& task, const std::vector<double>& theirs,
                        const LongBenchScoring& scoring) {
  if (task.metric != LongBenchMetric::kCodeSimilarity) return "";
  LongBenchScoring other = scoring;
  other.datasets = {std::string(task.name)};
  other.code_ratio = other_than(scoring.code_ratio);
  const LongBenchModelScores rescored = score_longbench(folder, other);
  if (!are_same(theirs, own_scores(rescored.tasks.front(), scoring.by_length))) return "";
  return detail::concat("; `code_ratio` ", name_of(other.code_ratio), " gives what it says");
}

std::string difference_of(const LongBenchTaskScore& score, const std::vector<double>& theirs,
                          const LongBenchScoring& scoring) {
  const std::vector<double> ours = own_scores(score, scoring.by_length);
  std::vector<std::string> parts;
  for (size_t i = 0; i < ours.size(); ++i) {
    if (is_same(theirs[i], ours[i])) continue;
    const std::string bucket = scoring.by_length ? std::string(kLongBenchBuckets[i]) + " " : "";
    parts.push_back(bucket + both_in_words(theirs[i], ours[i]));
  }
  return joined(parts, ", ");
}

bool is_scored(const LongBenchModelScores& scores, const std::string& name) {
  const LongBenchTask* task = find_longbench_task(name);
  return task != nullptr && scores.find(*task) != nullptr;
}

std::vector<std::string> differences(const JsonObject& stored, const fs::path& folder,
                                     const LongBenchModelScores& scores, const LongBenchScoring& scoring) {
  std::vector<std::string> lines, others;
  for (const LongBenchTaskScore& score : scores.tasks) {
    const std::string name(score.task->name);
    if (!stored.value().contains(name)) continue;
    const std::vector<double> theirs = stored_scores(stored, name, scoring.by_length);
    const std::string difference = difference_of(score, theirs, scoring);
    if (difference.empty()) continue;
    lines.push_back(detail::concat(stored.subject(), ": ", name, " ", difference,
                                   explanation(folder, *score.task, theirs, scoring)));
  }
  for (const auto& item : stored.value().items()) {
    if (!is_scored(scores, item.key())) others.push_back(printable(item.key()));
  }
  constexpr size_t kMostNames = 21;
  if (others.size() > kMostNames) {
    others.resize(kMostNames);
    others.emplace_back("...");
  }
  if (!others.empty())
    lines.push_back(detail::concat(stored.subject(), ": has also ", joined(others, ", "), ", not scored here"));
  return lines;
}

}  // namespace

std::string longbench_result_text(const LongBenchModelScores& scores, bool by_length) {
  return longbench_result(scores, by_length).dump(4) + "\n";
}

std::vector<std::string> differences_from_stored(const fs::path& folder, const LongBenchModelScores& scores,
                                                 const LongBenchScoring& scoring) {
  const fs::path file = folder / kLongBenchResultName;
  if (!is_there(file) || recorded_code_ratio(folder)) return {};
  try {
    const json value = read_stored(file);
    return differences(JsonObject(value, file.string()), folder, scores, scoring);
  } catch (const Error& e) {
    return {detail::concat(e.what(), "; its scores are not compared with those here")};
  }
}

fs::path free_name_for_stored(const fs::path& folder) {
  fs::path name = folder / "result.others.json";
  for (int number = 2; is_there(name); ++number) name = folder / detail::concat("result.others-", number, ".json");
  return name;
}

}  // namespace hici::eval
