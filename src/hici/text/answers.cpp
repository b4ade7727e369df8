// SPDX-License-Identifier: Apache-2.0
#include "hici/text/answers.h"

#include "hici/text/rust_bridge.h"

#include <algorithm>

namespace hici::text {
namespace {

using Rule = bool (*)(HiciTextView, HiciTextBytes*, char**);

std::string rewritten(std::string_view text, Rule rule) {
  crate::Bytes bytes;
  crate::ErrorText error;
  HICI_CHECK(rule(crate::view(text), bytes.out(), error.out()), "an answer: ", error.text());
  return bytes.text();
}

// The crate puts one space between two words.
Words split_at_spaces(const std::string& text) {
  Words words;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(' ', at), text.size());
    words.push_back(text.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

}  // namespace

Words english_words(std::string_view text) { return split_at_spaces(rewritten(text, hici_text_english_words)); }
Words chinese_words(std::string_view text) { return split_at_spaces(rewritten(text, hici_text_chinese_words)); }
Words numbers(std::string_view text) { return split_at_spaces(rewritten(text, hici_text_numbers)); }
std::string segment_chinese(std::string_view text) { return rewritten(text, hici_text_segment); }

EditDistance edit_distance(std::string_view a, std::string_view b) {
  EditDistance found;
  crate::ErrorText error;
  HICI_CHECK(hici_text_edit_distance(crate::view(a), crate::view(b), &found.edits, &found.num_characters, error.out()),
             "an answer: ", error.text());
  return found;
}

}  // namespace hici::text
