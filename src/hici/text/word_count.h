// SPDX-License-Identifier: Apache-2.0
// Words as lm-eval counts them: len(re.split(r"\s+", text)) of Python, which is the number of runs of white space and
// one more. So an empty text has one word, and white space at an end adds one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace hici::text {

// Bytes of the character at the start of the text where Python's str.isspace() is true of it, else 0.
size_t white_space_bytes(std::string_view text);

// Over a text in pieces of whole UTF-8 characters.
class WordCount {
 public:
  void add(std::string_view piece);
  // Of the text since the last call; the next piece begins another one.
  int64_t finish();

 private:
  int64_t runs_ = 0;
  bool in_white_space_ = false;
};

}  // namespace hici::text
