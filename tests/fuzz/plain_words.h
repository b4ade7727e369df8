// SPDX-License-Identifier: Apache-2.0
// Errors that come out of the Rust crate speak to users, not to Rust programmers.
#pragma once

#include "fuzz/fuzz_target.h"

namespace hici::fuzz {

// Runs `read`; an hici::Error with a word of the crate's own is no clean refusal.
template <typename Read>
void in_plain_words(const Read& read) {
  try {
    read();
  } catch (const Error& e) {
    for (const char* word : {"panic", "unwrap", "untagged", "src/", ".rs:"})
      require(std::string_view(e.what()).find(word) == std::string_view::npos, e.what());
    throw;
  }
}

}  // namespace hici::fuzz
