// SPDX-License-Identifier: Apache-2.0
// Stop strings: ends a streamed text before the first one, for any split of the text into pieces.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hici::generate {

class StopStrings {
 public:
  // None may be empty.
  explicit StopStrings(std::vector<std::string> stops);

  // Adds text. Returns the text that is certainly before any stop string; a suffix that may be the beginning of a stop
  // string is held back. The first complete stop string counts; if several complete at the same character, the one that
  // begins first. All text after that is dropped.
  std::string push(std::string_view text);
  // At the end of the text: returns the text that was held back.
  std::string finish();
  bool found() const { return found_; }

 private:
  size_t held_back() const;

  std::vector<std::string> stops_;
  std::string pending_;
  bool found_ = false;
};

}  // namespace hici::generate
