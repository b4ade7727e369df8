// SPDX-License-Identifier: Apache-2.0
// Prompts that are longer than the context.
#pragma once

#include "hici/base/enum_names.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hici::generate {

using Ids = std::vector<int64_t>;

enum class Truncation {
  kError,   // a message
  kMiddle,  // the middle goes; of an odd number of tokens the beginning keeps one more
  kLeft,    // the beginning goes, but for `num_kept_first` tokens (BOS)
};

constexpr EnumNames<Truncation, 3> names_of(Truncation) {
  return {"way", {{{Truncation::kError, "error"}, {Truncation::kMiddle, "middle"}, {Truncation::kLeft, "left"}}}};
}

// The prompt in at most `limit` >= 1 tokens. `subject` begins the message of kError and of an empty prompt.
Ids fit_prompt(Ids prompt, int64_t limit, Truncation truncation, const std::string& subject,
               int64_t num_kept_first = 0);

}  // namespace hici::generate
