// SPDX-License-Identifier: Apache-2.0
// Answers to many prompts, one batch at a time.
#pragma once

#include "hici/generate/generator.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace hici::eval {

struct PromptCase {
  int64_t index = 0;  // of the case
  generate::Ids prompt;
};

using OnAnswer = std::function<void(int64_t index, const generate::Answer& answer)>;

// Answers the cases in batches of `batch_size`. Cases are sorted by their ids, so prompts with a common beginning are
// adjacent. Calls `on_answer` for each case of a finished batch. False after a stop signal: the batch in progress is
// dropped, and later cases are not started. Shows progress.
bool answer_cases(generate::Generator& generator, std::vector<PromptCase> cases,
                  const generate::GenerateOptions& options, int64_t batch_size, const OnAnswer& on_answer);

}  // namespace hici::eval
