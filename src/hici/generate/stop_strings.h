// SPDX-License-Identifier: Apache-2.0
// Ends a growing text before the first of some strings, however the text comes in pieces.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace hici::generate {

class StopStrings {
 public:
  // None may be empty.
  explicit StopStrings(std::vector<std::string> stops);

  // Takes more text and returns what is certain to stand before a stop string: an end that one may begin with is held
  // back. The first string to be complete counts; of several that are complete at once, the one that begins first.
  // After that all text is dropped.
  std::string push(std::string_view text);
  // The text ends here: what was held back.
  std::string finish();
  bool found() const { return found_; }

 private:
  size_t held_back() const;

  std::vector<std::string> stops_;
  std::string pending_;
  bool found_ = false;
};

}  // namespace hici::generate
