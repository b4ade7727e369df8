// SPDX-License-Identifier: Apache-2.0
#include "hici/report/answer_settings.h"

#include "hici/base/clean_text.h"
#include "hici/base/error.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/base/log.h"
#include "hici/report/origin.h"

#include <optional>
#include <set>

namespace hici::report {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxSettingsBytes = size_t{1} << 20;
constexpr int64_t kMaxTokens = int64_t{1} << 40;
constexpr int64_t kTopicsAnswer = 50, kLinesAnswer = 100;  // tokens, LongEval's
const std::vector<std::string> kMethod = {"attention",        "cache_slots", "causal_mode",       "chat_template",
                                          "context_size",     "dtype",       "base_format",       "rope_factor",
                                          "dca_local_window", "dca_mscale",  "pretraining_length"};

// Nothing where the file is not there; a bad one is named, and what it would say is not stated.
std::optional<nlohmann::json> read_settings(const fs::path& file) {
  if (!is_there(file)) return std::nullopt;
  try {
    nlohmann::json value = read_json_file(file, kMaxSettingsBytes);
    HICI_CHECK(value.is_object(), file.string(), ": is no JSON object");
    return value;
  } catch (const Error& e) {
    log_warning(e.what(), "; the settings of the answers beside it are taken as not stated");
    return std::nullopt;
  }
}

void add_method(ModelOrigin& origin, const JsonObject& settings, const fs::path& file) {
  const ModelOrigin found = origin_of(settings, file, kMethod);
  origin.weights = found.weights;
  origin.weights_key = found.weights_key;
  origin.method = found.method;
}

void add_prompt_style(const JsonObject& settings, std::vector<std::string>& words) {
  const std::string style = text_at(settings, "prompt_style");
  if (style == "continue") words.emplace_back("prompts as they stand, without a chat's form");
}

std::vector<std::string> longbench_words(const JsonObject& settings) {
  const int64_t length = settings.integer_or("max_length", 0, 0, kMaxTokens);
  std::vector<std::string> words;
  words.push_back(length == 0 ? std::string("prompts as long as the context of each model allows")
                              : hici::detail::concat("prompts of at most ", length, " tokens"));
  add_prompt_style(settings, words);
  add_differences(settings, words);
  return words;
}

// What one data set's answers were made from.
std::string longbench_identity(const JsonObject& settings, const std::vector<std::string>& words) {
  std::string identity = text_at(settings, "data_sha256") + " " + text_at(settings, "prompt_sha256");
  if (settings.has("max_new_tokens")) identity.append(" ").append(shown_json(settings.at("max_new_tokens")));
  for (const std::string& word : words) identity.append(" ").append(word);
  return identity;
}

void add_code_ratio(LongBenchResult& result) {
  if (!result.scores.has_code()) return;
  const std::optional<eval::CodeRatio> ratio = result.scores.code_ratio;
  if (!ratio) {
    result.conditions.unstated.emplace_back("how code is compared");
    return;
  }
  result.conditions.remark = hici::detail::concat("code compared by ", name_of(*ratio));
  for (const eval::LongBenchTaskScore& score : result.scores.tasks) {
    if (score.task->metric == eval::LongBenchMetric::kCodeSimilarity)
      result.conditions.asked[std::string(score.task->name)] += hici::detail::concat(" ", name_of(*ratio));
  }
}

}  // namespace

void set_retrieval_settings(RetrievalResult& result, const fs::path& answers, const std::string& labels_sha256) {
  result.conditions.asked[std::to_string(result.num_items)] = labels_sha256;
  const fs::path file = fs::path(answers).replace_extension(".json");
  const std::optional<nlohmann::json> value = read_settings(file);
  if (!value) return;
  const JsonObject settings(*value, file.string());
  add_method(result.origin, settings, file);
  const int64_t usual = result.task == eval::RetrievalTask::kTopics ? kTopicsAnswer : kLinesAnswer;
  const int64_t tokens = settings.integer_or("max_new_tokens", usual, 0, kMaxTokens);
  if (tokens != usual)
    result.conditions.settings.push_back(hici::detail::concat("answers of at most ", tokens, " tokens"));
  add_prompt_style(settings, result.conditions.settings);
  add_differences(settings, result.conditions.settings);
}

void set_longbench_settings(LongBenchResult& result, const fs::path& folder) {
  std::set<std::vector<std::string>> words;
  size_t num_found = 0;
  for (const eval::LongBenchTaskScore& score : result.scores.tasks) {
    const fs::path file = folder / (std::string(score.task->name) + ".json");
    const std::optional<nlohmann::json> value = read_settings(file);
    if (!value) continue;
    ++num_found;
    const JsonObject settings(*value, file.string());
    add_method(result.origin, settings, file);
    const auto found = words.insert(longbench_words(settings)).first;
    result.conditions.asked[std::string(score.task->name)] = longbench_identity(settings, *found);
  }
  if (words.size() == 1) result.conditions.settings = *words.begin();
  if (words.size() > 1)
    result.conditions.settings = {"max_length, prompt style or base not the same for all data sets"};
  if (num_found < result.scores.tasks.size()) result.conditions.unstated = {"max_length", "the form of the prompts"};
  add_code_ratio(result);
}

}  // namespace hici::report
