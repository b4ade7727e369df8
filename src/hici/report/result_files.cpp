// SPDX-License-Identifier: Apache-2.0
#include "hici/report/result_files.h"

#include "hici/base/clean_text.h"
#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/json.h"
#include "hici/base/sha256.h"
#include "hici/base/text_table.h"
#include "hici/eval/longbench/result_record.h"
#include "hici/eval/longeval/scores.h"
#include "hici/report/answer_settings.h"
#include "hici/report/origin.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <charconv>
#include <utility>

namespace hici::report {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr size_t kMaxResultBytes = size_t{4} << 20;
constexpr int64_t kMaxContext = int64_t{1} << 40;
constexpr int64_t kMaxCount = int64_t{1} << 40;
constexpr double kShareSlack = 1e-6;  // shares are sums of rounded weights
// Settings of a model that decide numbers; weights are looked at by themselves.
const std::vector<std::string> kWindowMethod = {"causal_mode", "context_size", "dual_chunk",   "dtype",
                                                "base_format", "rope_factor",  "num_segments", "attention_backend"};
const std::vector<std::string> kPasskeyMethod = {"cache_slots", "causal_mode", "context_size",
                                                 "dtype",       "base_format", "max_tokens"};

// As papers write it; the two ways to cut for HiCI attention are two rows.
std::string attention_of(const JsonObject& result) {
  const std::string name = clean_text(result.string("attention"));
  const std::string attention = name == "hici" ? "HiCI" : name == "s2" ? "S2" : name == "dca" ? "DCA" : name;
  return result.string_or("eval_mode", "") == "full_hierarchical" ? attention + " (one segment)" : attention;
}

// The elements of an array that must be there and hold something.
const json& array_at(const JsonObject& object, const char* key) {
  const json& value = object.at(key);
  HICI_CHECK(value.is_array() && !value.empty(), object.subject(), ": ", key, " is ", shown_json(value),
             ", expected a list that is not empty");
  return value;
}

// What an evaluation over windows of a token file says of them beside their length.
void add_limit(const JsonObject& object, Conditions& conditions) {
  const int64_t limit = object.integer_or("limit_tokens", 0, 0, kMaxCount);
  if (limit > 0) conditions.settings.push_back("its first " + std::to_string(limit) + " tokens");
}

// Rolling windows, or how far windows are apart; the latter in words once all results are there (collect.cpp).
void add_windows(const JsonObject& object, PerplexityResult& result) {
  if (object.boolean_or("rolling", false)) {
    const int64_t documents = object.integer_or("documents", 1, 0, kMaxCount);
    result.conditions.settings.push_back(hici::detail::concat("rolling windows over ", counted(documents, "document"),
                                                              ", each behind token ",
                                                              object.integer_or("prefix_token_id", 0, 0, kMaxCount)));
    return;
  }
  result.stride = object.integer_or("sliding_window", 0, 1, kMaxContext);
  if (result.stride == 0) result.conditions.unstated.emplace_back("how far the windows are apart");
}

PerplexityResult parse_perplexity(const JsonObject& object, const fs::path& file) {
  PerplexityResult result{.label = clean_text(object.string("label")),
                          .attention = attention_of(object),
                          .context = object.integer("seq_len", 1, kMaxContext),
                          .perplexity = object.number_or("perplexity", kNotANumber),
                          .accuracy = object.number_or("accuracy", kNotANumber),
                          .conditions = conditions_on_data(object),
                          .origin = origin_of(object, file, kWindowMethod)};
  add_windows(object, result);
  add_limit(object, result.conditions);
  add_differences(object, result.conditions.settings);
  return result;
}

// The prompts of one length: the same seeds with the same keys in the same places are the same prompts.
Conditions passkey_conditions(const std::vector<eval::PasskeyTest>& tests, int64_t length) {
  uint32_t first = tests.front().seed, last = first;
  std::string all;
  for (const eval::PasskeyTest& test : tests) {
    first = std::min(first, test.seed);
    last = std::max(last, test.seed);
    all += std::to_string(test.seed) + " " + every_digit(test.depth) + " " + std::to_string(test.key) + "\n";
  }
  Conditions conditions;
  conditions.settings = {tests.size() == 1 ? "one prompt of each length, seed " + std::to_string(first)
                                           : std::to_string(tests.size()) + " prompts of each length, seeds " +
                                                 std::to_string(first) + " to " + std::to_string(last)};
  conditions.asked[std::to_string(length)] = sha256_hex(all);
  return conditions;
}

// A length of which no prompt was answered is none.
std::vector<PasskeyResult> parse_passkey(const JsonObject& object, const fs::path& file) {
  std::vector<PasskeyResult> results;
  for (eval::PasskeyLength& length : eval::passkey_lengths_from_json(object.value(), object.subject())) {
    if (length.tests.empty()) continue;
    results.push_back({.label = clean_text(object.string("label")),
                       .attention = attention_of(object),
                       .length = std::move(length),
                       .conditions = {},
                       .origin = origin_of(object, file, kPasskeyMethod)});
    PasskeyResult& result = results.back();
    result.conditions = passkey_conditions(result.length.tests, result.length.target);
    result.conditions.source = result.origin.file;
    add_differences(object, result.conditions.settings);
  }
  HICI_CHECK(!results.empty(), object.subject(), ": has no answered test at any length; run the evaluation to its end");
  return results;
}

AttentionResult::Shares parse_shares(const JsonObject& object, const char* key, size_t layers, size_t heads) {
  const json& rows = array_at(object, key);
  HICI_CHECK(rows.size() == layers, object.subject(), ": ", key, " has ", rows.size(), " layers, expected ", layers);
  AttentionResult::Shares shares;
  for (const json& row : rows) {
    HICI_CHECK(row.is_array() && row.size() == heads, object.subject(), ": ", key, "[", shares.size(), "] is ",
               shown_json(row), ", expected ", heads, " shares, one for each head");
    shares.emplace_back();
    for (const json& share : row) {
      HICI_CHECK(share.is_number() && share.get<double>() >= -kShareSlack && share.get<double>() <= 1 + kShareSlack,
                 object.subject(), ": ", key, " has a share of ", shown_json(share), ", expected 0 to 1");
      shares.back().push_back(std::clamp(share.get<double>(), 0.0, 1.0));
    }
  }
  return shares;
}

AttentionResult parse_attention(const JsonObject& object, const fs::path& file) {
  const auto layers = static_cast<size_t>(object.integer("layers", 1, 10'000));
  const auto heads = static_cast<size_t>(object.integer("heads", 1, 10'000));
  AttentionResult result{.label = clean_text(object.string("label")),
                         .global = parse_shares(object, "global", layers, heads),
                         .local = parse_shares(object, "local", layers, heads),
                         .token = parse_shares(object, "token", layers, heads),
                         .conditions = conditions_on_data(object),
                         .origin = origin_of(object, file, kWindowMethod)};
  const int64_t length = object.integer_or("seq_len", 0, 1, kMaxContext);
  const int64_t stride = object.integer_or("sliding_window", 0, 1, kMaxContext);
  if (length > 0) result.conditions.settings.push_back("windows of " + std::to_string(length) + " tokens");
  if (stride > 0 && stride != length) result.conditions.settings.push_back(window_words(stride));
  add_limit(object, result.conditions);
  add_differences(object, result.conditions.settings);
  if (length == 0) result.conditions.unstated.emplace_back("how long the windows are");
  return result;
}

// The number that the name of an answer file begins with.
int64_t num_items_of(const std::string& name, const std::string& subject) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  const bool is_number = error == std::errc() && number > 0 && end != name.data() + name.size() && *end == '_';
  HICI_CHECK(is_number, subject, ": '", printable(name),
             "' does not begin with the number of topics or lines; expected a name like 5_response.txt");
  return number;
}

// "cases" has what identifies the test cases, in the same form; files of older versions have none.
void add_cases(const JsonObject& object, const std::string& model, const std::string& file, RetrievalResult& result) {
  std::string labels;
  if (object.has("cases") && object.object("cases").has(model)) {
    const JsonObject of_model = object.object("cases").object(model);
    labels = text_at(of_model, file);
  }
  if (labels.empty()) {
    result.conditions.unstated = {"the test cases"};
  } else {
    result.conditions.asked[std::to_string(result.num_items)] = labels;
  }
}

// {model: {file: [correct, answers, ...]}}
std::vector<RetrievalResult> parse_retrieval(const JsonObject& object, const char* key, const std::string& judge,
                                             const fs::path& source) {
  const JsonObject models = object.object(key);
  std::vector<RetrievalResult> results;
  for (const auto& [model, files] : models.value().items()) {
    const JsonObject of_model(files, models.subject() + ": " + printable(model));
    for (const auto& [file, counts] : files.items()) {
      const bool is_counts = counts.is_array() && counts.size() >= 2 && counts[0].is_number_unsigned() &&
                             counts[1].is_number_unsigned() && counts[0] <= counts[1] && counts[1] <= kMaxCount;
      HICI_CHECK(is_counts, of_model.subject(), ": ", printable(file), " is ", shown_json(counts),
                 ", expected [correct, answers]");
      results.push_back({.label = clean_text(model),
                         .task = eval::RetrievalTask::kTopics,
                         .judge = judge,
                         .num_items = num_items_of(file, of_model.subject()),
                         .num_correct = counts[0].get<int64_t>(),
                         .num_answers = counts[1].get<int64_t>(),
                         .conditions = {},
                         .origin = {.file = clean_text(source.string())}});
      results.back().conditions.source = clean_text(source.string() + " " + model);
      if (!judge.empty()) results.back().conditions.settings = {"judge " + judge};
      add_cases(object, model, file, results.back());
    }
  }
  return results;
}

std::vector<RetrievalResult> parse_judged(const JsonObject& object, const fs::path& file) {
  std::vector<RetrievalResult> results = parse_retrieval(object, "by_rule", "", file);
  for (RetrievalResult& judged : parse_retrieval(object, "by_judge", clean_text(object.string("judge_model")), file))
    results.push_back(std::move(judged));
  return results;
}

bool names_longbench(const json& value) {
  return std::any_of(value.items().begin(), value.items().end(),
                     [](const auto& item) { return eval::find_longbench_task(item.key()) != nullptr; });
}

double parse_score(const JsonObject& object, const std::string& key) {
  const double score = object.number_or(key, kNotANumber);
  HICI_CHECK(!(score < 0 || score > 100), object.subject(), ": ", key, " is ", score, ", expected a score of 0 to 100");
  return score;
}

LongBenchResult parse_longbench(const JsonObject& object, const fs::path& file) {
  const fs::path folder = fs::weakly_canonical(file).parent_path();
  LongBenchResult result{.label = clean_text(folder.filename().string()),
                         .scores = {},
                         .by_length = object.value().begin()->is_object(),
                         .conditions = {},
                         .origin = {.path = clean_text(folder.string()), .file = clean_text(file.string())}};
  result.scores.model = result.label;
  for (const auto& item : object.value().items()) {
    HICI_CHECK(eval::find_longbench_task(item.key()), object.subject(), ": '", printable(item.key()),
               "' is no data set of LongBench; known: ", eval::longbench_task_names());
  }
  for (const eval::LongBenchTask& task : eval::longbench_tasks()) {
    const std::string name(task.name);
    if (!object.value().contains(name)) continue;
    eval::LongBenchTaskScore score{.task = &task, .all = {}, .buckets = {}};
    if (!result.by_length) score.all.score = parse_score(object, name);
    if (result.by_length) {
      const JsonObject buckets(object.value()[name], object.subject() + ": " + name);
      for (size_t b = 0; b < score.buckets.size(); ++b)
        score.buckets[b].score = parse_score(buckets, std::string(eval::kLongBenchBuckets[b]));
    }
    result.scores.tasks.push_back(score);
  }
  result.scores.code_ratio = eval::recorded_code_ratio(folder);
  set_longbench_settings(result, folder);
  return result;
}

}  // namespace

ReportData read_result_file(const fs::path& file) {
  ReportData data;
  const json value = read_json_file(file, kMaxResultBytes);
  if (!value.is_object()) return data;
  const JsonObject object(value, file.string());
  const json command = value.value("command", json());
  if (command == "eval ppl") data.perplexities = {parse_perplexity(object, file)};
  if (command == "eval passkey") data.passkeys = parse_passkey(object, file);
  if (command == "eval attention") data.attentions = {parse_attention(object, file)};
  if (value.contains("by_judge")) data.retrievals = parse_judged(object, file);
  if (file.filename() == "result.json" && names_longbench(value)) data.longbench = {parse_longbench(object, file)};
  return data;
}

ReportData read_response_file(const fs::path& file) {
  const int64_t num_items = num_items_of(file.filename().string(), file.string());
  const eval::RetrievalFile answers = eval::read_retrieval_file(file);
  const eval::RetrievalScore score = eval::score_retrieval(file, answers.answers, answers.task);
  RetrievalResult result{.label = clean_text(score.model),
                         .task = answers.task,
                         .judge = "",
                         .num_items = num_items,
                         .num_correct = score.num_correct,
                         .num_answers = score.num_answers,
                         .conditions = {},
                         .origin = {.path = clean_text(fs::weakly_canonical(file).parent_path().string()),
                                    .file = clean_text(file.string())}};
  result.conditions.source = result.origin.path;
  set_retrieval_settings(result, file, eval::labels_sha256(answers.answers));
  ReportData data;
  data.retrievals = {std::move(result)};
  return data;
}

}  // namespace hici::report
