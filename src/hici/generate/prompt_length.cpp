// SPDX-License-Identifier: Apache-2.0
#include "hici/generate/prompt_length.h"

#include "hici/base/error.h"

#include <algorithm>

namespace hici::generate {

Ids fit_prompt(Ids prompt, int64_t limit, Truncation truncation, const std::string& subject, int64_t num_kept_first) {
  HICI_ASSERT(limit >= 1, limit);
  HICI_CHECK(!prompt.empty(), subject, ": is empty; give at least one token");
  const auto length = static_cast<int64_t>(prompt.size());
  if (length <= limit) return prompt;
  HICI_CHECK(truncation != Truncation::kError, subject, ": has ", length, " tokens, the context leaves room for ",
             limit, "; shorten it, give `truncate` middle or left, fewer `max_new_tokens` or a larger `context_size`");
  const int64_t kept_first = truncation == Truncation::kMiddle ? limit - limit / 2 : std::min(num_kept_first, limit);
  prompt.erase(prompt.begin() + kept_first, prompt.end() - (limit - kept_first));
  return prompt;
}

}  // namespace hici::generate
