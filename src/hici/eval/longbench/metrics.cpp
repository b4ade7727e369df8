// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longbench/metrics.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/eval/longbench/difflib.h"
#include "hici/eval/longbench/rouge.h"
#include "hici/text/answers.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>

namespace hici::eval {
namespace {

bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

std::string_view without_leading_line_ends(std::string_view text) {
  return text.substr(std::min(text.find_first_not_of('\n'), text.size()));
}

std::string_view first_line(std::string_view text) {
  const std::string_view rest = without_leading_line_ends(text);
  return rest.substr(0, rest.find('\n'));
}

// The number behind the first `word` that has one: the paragraph that an answer names.
std::string paragraph_number(std::string_view answer, std::string_view word, const std::string& subject) {
  for (size_t at = answer.find(word); at != std::string_view::npos; at = answer.find(word, at + 1)) {
    const std::string_view rest = answer.substr(at + word.size());
    const size_t digits = std::min(rest.find_first_not_of("0123456789"), rest.size());
    if (digits > 0) return std::string(rest.substr(0, digits));
  }
  fail(subject, ": answers: '", printable(answer), "' names no paragraph; this is no row of a retrieval data set");
}

double score_answer(const LongBenchTask& task, const LongBenchPrediction& row, std::string_view text,
                    const std::string& answer, CodeRatio ratio) {
  switch (task.metric) {
    case LongBenchMetric::kQaF1:
      return qa_f1(text::english_words(text), text::english_words(answer));
    case LongBenchMetric::kQaF1Chinese:
      return qa_f1(text::chinese_words(text), text::chinese_words(answer));
    case LongBenchMetric::kRougeL:
      return rouge_l(text, answer);
    case LongBenchMetric::kRougeLChinese:
      return rouge_l(text::segment_chinese(text), text::segment_chinese(answer));
    case LongBenchMetric::kClassification:
      return classification_score(text, answer, row.classes);
    case LongBenchMetric::kRetrieval:
      return share_of_numbers(text, paragraph_number(answer, "Paragraph ", row.subject));
    case LongBenchMetric::kRetrievalChinese:
      return share_of_numbers(text, paragraph_number(answer, "段落", row.subject));
    case LongBenchMetric::kCount:
      return share_of_numbers(text, answer);
    case LongBenchMetric::kCodeSimilarity:
      return code_similarity(text, answer, ratio);
  }
  HICI_ASSERT(false, "unknown metric");
}

// The share of characters that insertions and deletions leave alone.
double levenshtein_ratio(std::string_view a, std::string_view b) {
  const text::EditDistance found = text::edit_distance(a, b);
  return 1.0 - static_cast<double>(found.edits) / static_cast<double>(found.num_characters);
}

}  // namespace

double score_prediction(const LongBenchTask& task, const LongBenchPrediction& prediction, CodeRatio ratio) {
  const std::string_view text = task.first_line_only ? first_line(prediction.text) : std::string_view(prediction.text);
  double best = 0;
  for (const std::string& answer : prediction.answers)
    best = std::max(best, score_answer(task, prediction, text, answer, ratio));
  return best;
}

double qa_f1(const std::vector<std::string>& words, const std::vector<std::string>& answer_words) {
  std::unordered_map<std::string_view, int64_t> open;
  for (const std::string& word : answer_words) ++open[word];
  int64_t same = 0;
  for (const std::string& word : words) {
    const auto found = open.find(word);
    if (found == open.end() || found->second == 0) continue;
    --found->second;
    ++same;
  }
  if (same == 0) return 0;
  const double precision = static_cast<double>(same) / static_cast<double>(words.size());
  const double recall = static_cast<double>(same) / static_cast<double>(answer_words.size());
  return (2 * precision * recall) / (precision + recall);
}

double classification_score(std::string_view text, std::string_view answer, const std::vector<std::string>& classes) {
  std::vector<std::string_view> matches;
  for (const std::string& name : classes) {
    if (contains(text, name)) matches.emplace_back(name);
  }
  // As in eval.py, which takes names out of the list that it walks: the one after a removed name is passed over.
  for (size_t i = 0; i < matches.size(); ++i) {
    const std::string_view name = matches[i];
    if (contains(answer, name) && name != answer) matches.erase(std::find(matches.begin(), matches.end(), name));
  }
  const bool has_answer = std::find(matches.begin(), matches.end(), answer) != matches.end();
  return has_answer ? 1.0 / static_cast<double>(matches.size()) : 0;
}

double share_of_numbers(std::string_view text, std::string_view number) {
  const text::Words found = text::numbers(text);
  if (found.empty()) return 0;
  const auto right = std::count(found.begin(), found.end(), number);
  return static_cast<double>(right) / static_cast<double>(found.size());
}

double code_similarity(std::string_view text, std::string_view answer, CodeRatio ratio) {
  std::string_view rest = without_leading_line_ends(text);
  for (bool is_last = false; !is_last;) {
    const size_t end = rest.find('\n');
    is_last = end == std::string_view::npos;
    const std::string_view line = rest.substr(0, end);
    if (!contains(line, "`") && !contains(line, "#") && !contains(line, "//"))
      return fuzz_ratio(line, answer, ratio) / 100.0;
    if (!is_last) rest.remove_prefix(end + 1);
  }
  return fuzz_ratio("", answer, ratio) / 100.0;
}

int fuzz_ratio(std::string_view a, std::string_view b, CodeRatio ratio) {
  if (a == b) return 100;
  if (a.empty() || b.empty()) return 0;
  const double share = ratio == CodeRatio::kDifflib ? difflib_ratio(a, b) : levenshtein_ratio(a, b);
  return static_cast<int>(std::nearbyint(100 * share));  // halves go to the even number, as in Python
}

}  // namespace hici::eval
