// SPDX-License-Identifier: Apache-2.0
#include "hici/report/tell_apart.h"

#include "hici/base/log.h"
#include "hici/report/model_names.h"

#include <algorithm>
#include <set>
#include <type_traits>

namespace hici::report {
namespace {

// What is known of each kind of result: its row beside the label, its cells, its words in a message.
std::string* attention_of(PerplexityResult& result) { return &result.attention; }
std::string* attention_of(PasskeyResult& result) { return &result.attention; }
std::string* attention_of(RetrievalResult&) { return nullptr; }
std::string* attention_of(LongBenchResult&) { return nullptr; }
std::string* attention_of(AttentionResult&) { return nullptr; }

std::set<std::string> cells_of(const PerplexityResult& result) { return {"context " + std::to_string(result.context)}; }
std::set<std::string> cells_of(const PasskeyResult& result) {
  return {"length " + std::to_string(result.length.target)};
}
std::set<std::string> cells_of(const RetrievalResult& result) {
  return {std::to_string(result.num_items) + " " + name_of(result.task) + ", scored by " +
          (result.judge.empty() ? "rule" : result.judge)};
}
std::set<std::string> cells_of(const LongBenchResult& result) {
  std::set<std::string> cells;
  for (const eval::LongBenchTaskScore& score : result.scores.tasks)
    cells.insert((result.by_length ? "LongBench-E, " : "LongBench, ") + std::string(score.task->name));
  return cells;
}
std::set<std::string> cells_of(const AttentionResult&) { return {"shares of attention"}; }

template <typename Result>
std::string row_of(Result& result) {
  const std::string* attention = attention_of(result);
  return result.label + (attention ? ", " + attention_in_words(*attention) : "");
}

template <typename Result>
bool meet(Result& a, Result& b) {
  if (row_of(a) != row_of(b) || !a.conditions.comparable_with(b.conditions)) return false;
  const std::set<std::string> cells = cells_of(a);
  for (const std::string& cell : cells_of(b)) {
    if (cells.contains(cell)) return true;
  }
  return false;
}

// Is ModelOrigin::path the folder of the answers? Else it is the model's.
template <typename Result>
constexpr bool kIsOfAnswers = std::is_same_v<Result, RetrievalResult> || std::is_same_v<Result, LongBenchResult>;

constexpr const char* kFolder = "folder";
constexpr const char* kWeights = "weights";
constexpr const char* kFile = "file";

std::string stated(const ModelOrigin& origin, const std::string& key) {
  if (key == kFolder) return origin.path;
  if (key == kWeights) return origin.weights;
  if (key == kFile) return origin.file;
  const auto found = origin.method.find(key);
  return found == origin.method.end() ? "" : found->second;
}

// The first thing that both state and that differs, by how much it says to a reader; empty when there is none.
template <typename Result>
std::string difference(const Result& a, const Result& b, const std::set<std::string>& known) {
  std::vector<std::string> keys(known.begin(), known.end());
  // The same weights under two paths are one model; answers in two folders are two results of it.
  if (kIsOfAnswers<Result> || a.origin.weights.empty() || a.origin.weights != b.origin.weights)
    keys.emplace_back(kFolder);
  for (const auto& [key, value] : a.origin.method) keys.push_back(key);
  keys.emplace_back(kWeights);
  if (!a.conditions.unstated.empty()) keys.emplace_back(kFile);
  for (const std::string& key : keys) {
    if (key == kWeights && a.origin.weights_key != b.origin.weights_key) continue;
    const std::string one = stated(a.origin, key), other = stated(b.origin, key);
    if (!one.empty() && !other.empty() && one != other) return key;
  }
  return "";
}

// Folders by names as short as may be.
template <typename Result>
void name_by_folders(const std::vector<Result*>& results) {
  std::vector<std::string> folders;
  for (const Result* result : results) folders.push_back(result->origin.path);
  const std::vector<std::string> names = distinct_names(folders);
  for (size_t i = 0; i < results.size(); ++i) {
    if (!folders[i].empty()) results[i]->label = names[i];
  }
}

template <typename Result>
void add_words(Result& result, const std::string& key) {
  const std::string value = stated(result.origin, key);
  if (value.empty()) return;
  if (key == kFile) result.label += " (" + value + ")";
  if (key == kWeights) result.label += " (weights " + short_hash(value) + ")";
  if (key == kFile || key == kWeights) return;
  std::string& place = attention_of(result) ? *attention_of(result) : result.label;
  place += ", " + key + " " + value;
}

template <typename Result>
void split_row(const std::vector<Result*>& row) {
  std::set<std::string> keys;
  for (size_t i = 0; i < row.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      if (!meet(*row[i], *row[j])) continue;
      const std::string key = difference(*row[j], *row[i], keys);
      if (!key.empty()) keys.insert(key);
    }
  }
  if (keys.erase(kFolder) > 0) name_by_folders(row);
  for (const std::string& key : keys) {
    for (Result* result : row) add_words(*result, key);
  }
}

template <typename Result>
void drop_repeats(std::vector<Result>& results) {
  std::vector<Result> kept;
  std::map<std::string, std::vector<size_t>> rows;
  for (Result& result : results) {
    std::vector<size_t>& row = rows[row_of(result)];
    const auto before = std::find_if(row.begin(), row.end(), [&](size_t i) { return meet(kept[i], result); });
    if (before == row.end()) {
      row.push_back(kept.size());
      kept.push_back(std::move(result));
      continue;
    }
    Result& earlier = kept[*before];
    log_warning(result.origin.file, ": a second result for ", row_of(result), ", ", *cells_of(result).begin(),
                result.conditions.caption(), "; this one counts, not ", earlier.origin.file);
    earlier = std::move(result);
  }
  results = std::move(kept);
}

template <typename Result>
void tell_apart_results(std::vector<Result>& results) {
  std::map<std::string, std::vector<Result*>> rows;
  for (Result& result : results) rows[row_of(result)].push_back(&result);
  for (const auto& [name, row] : rows) split_row(row);
  drop_repeats(results);
}

}  // namespace

void tell_apart(ReportData& data) {
  tell_apart_results(data.perplexities);
  tell_apart_results(data.passkeys);
  tell_apart_results(data.retrievals);
  tell_apart_results(data.longbench);
  tell_apart_results(data.attentions);
}

}  // namespace hici::report
