// SPDX-License-Identifier: Apache-2.0
// ROUGE-L as the Python package `rouge` 1.0.1 computes it, which is what LongBench reports.
#pragma once

#include <string_view>

namespace hici::eval {

// The F value between a text and a reference. Sentences end at full stops; words are what white space separates, and
// each counts once. For every pair of sentences one longest common subsequence is found; all the words of these
// together, over the words of either side, are recall and precision, and F = 2 P R / (P + R + 1e-8). 0 when either side
// has no sentence. (Python gives up and LongBench counts 0 where two sentences have some thousand words together, more
// than its recursion allows; not so here.)
double rouge_l(std::string_view text, std::string_view reference);

}  // namespace hici::eval
