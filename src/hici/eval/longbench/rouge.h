// SPDX-License-Identifier: Apache-2.0
// ROUGE-L as the Python package `rouge` 1.0.1 computes it, which is what LongBench reports.
#pragma once

#include <string_view>

namespace hici::eval {

// The F value between a text and a reference. Sentences end at full stops. Words are separated by white space, and each
// word counts once. Each pair of sentences has one longest common subsequence. The number of words in all these
// subsequences, divided by the words of either side, gives recall R and precision P; F = 2 P R / (P + R + 1e-8). 0 if
// either side has no sentence. (If two sentences have some thousand words together, Python exceeds its recursion limit
// and LongBench counts 0. This function computes the value.)
double rouge_l(std::string_view text, std::string_view reference);

}  // namespace hici::eval
