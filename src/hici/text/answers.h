// SPDX-License-Identifier: Apache-2.0
// What scores of answers compare, by the rules of the Python scorers of LongBench, over the Rust crate. Any thread. In
// a binary built with HICI_TEXT=OFF every function throws an error that says so. Texts must be UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace hici::text {

using Words = std::vector<std::string>;

// Lower case, without ASCII punctuation and the articles a, an, the.
Words english_words(std::string_view text);
// The words of segment_chinese(), in lower case, without punctuation and white space; empty ones are left out.
Words chinese_words(std::string_view text);
// The words of Chinese text with a space between two: " ".join(jieba.cut(text)) of the Python package jieba 0.42.1.
std::string segment_chinese(std::string_view text);
// The runs of decimal digits, of any script.
Words numbers(std::string_view text);

struct EditDistance {
  size_t edits = 0;           // the least number of insertions and deletions that makes one of the other
  size_t num_characters = 0;  // of both
};
EditDistance edit_distance(std::string_view a, std::string_view b);

}  // namespace hici::text
