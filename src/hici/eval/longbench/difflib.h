// SPDX-License-Identifier: Apache-2.0
// SequenceMatcher(None, a, b).ratio() of Python's difflib, which is fuzz.ratio of fuzzywuzzy where python-Levenshtein
// is not installed.
#pragma once

#include <string_view>

namespace hici::eval {

// 2 M / (characters of both texts), to the last bit: M is the sum of the longest common blocks, each found between its
// neighbours, the leftmost in `a` and then in `b` among equals. As in Python, characters that make up more than 1 % of
// a `b` of 200 characters or more begin no block; so the order of the texts matters. 1 for two empty texts. The texts
// are UTF-8; a byte that is none counts as a character.
double difflib_ratio(std::string_view a, std::string_view b);

}  // namespace hici::eval
