// SPDX-License-Identifier: Apache-2.0
// Scores of one prediction, with the numbers of LongBench's metrics.py and eval.py. Oddities that affect scores are
// kept (a class that is part of the answer hides the class that follows it in the list).
#pragma once

#include "hici/base/enum_names.h"
#include "hici/eval/longbench/predictions.h"
#include "hici/eval/longbench/tasks.h"

#include <string>
#include <string_view>
#include <vector>

namespace hici::eval {

// What fuzz.ratio of fuzzywuzzy is: the ratio of python-Levenshtein where that is installed, else that of Python's
// difflib.
enum class CodeRatio { kLevenshtein, kDifflib };
constexpr EnumNames<CodeRatio, 2> names_of(CodeRatio) {
  return {"ratio of code", {{{CodeRatio::kLevenshtein, "levenshtein"}, {CodeRatio::kDifflib, "difflib"}}}};
}
constexpr CodeRatio other_than(CodeRatio ratio) {
  return ratio == CodeRatio::kLevenshtein ? CodeRatio::kDifflib : CodeRatio::kLevenshtein;
}

// 0 to 1. An answer that does not fit its data set (no paragraph named) is an hici::Error. `ratio`: for data sets of
// code.
double score_prediction(const LongBenchTask& task, const LongBenchPrediction& prediction,
                        CodeRatio ratio = CodeRatio::kLevenshtein);

// A prediction against one answer, both unchanged.
double qa_f1(const std::vector<std::string>& words, const std::vector<std::string>& answer_words);
double classification_score(std::string_view text, std::string_view answer, const std::vector<std::string>& classes);
// The share of numbers in the text that equal `number`.
double share_of_numbers(std::string_view text, std::string_view number);
// The first line that is neither a comment nor a fence, against the answer: 0, 0.01, ..., 1.
double code_similarity(std::string_view text, std::string_view answer, CodeRatio ratio = CodeRatio::kLevenshtein);
// fuzz.ratio of fuzzywuzzy 0.18, in whole percent, halves rounded to even.
int fuzz_ratio(std::string_view a, std::string_view b, CodeRatio ratio = CodeRatio::kLevenshtein);

}  // namespace hici::eval
