// SPDX-License-Identifier: Apache-2.0
// Truncation of prompts that are longer than the context.
#pragma once

#include "hici/base/enum_names.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hici::generate {

using Ids = std::vector<int64_t>;

enum class Truncation {
  kError,   // an error
  kMiddle,  // removes the middle; for an odd limit the beginning keeps one token more
  kLeft,    // removes the beginning, except `num_kept_first` tokens (BOS)
};

constexpr EnumNames<Truncation, 3> names_of(Truncation) {
  return {"way", {{{Truncation::kError, "error"}, {Truncation::kMiddle, "middle"}, {Truncation::kLeft, "left"}}}};
}

// The prompt in at most `limit` >= 1 tokens. `subject` begins the message of kError and of an empty prompt.
Ids fit_prompt(Ids prompt, int64_t limit, Truncation truncation, const std::string& subject,
               int64_t num_kept_first = 0);

}  // namespace hici::generate
