// SPDX-License-Identifier: Apache-2.0
// Many prompts through a model, a batch at a time.
#pragma once

#include "hici/generate/generator.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace hici::eval {

struct PromptCase {
  int64_t index = 0;  // whose prompt it is
  generate::Ids prompt;
};

using OnAnswer = std::function<void(int64_t index, const generate::Answer& answer)>;

// Answers the cases in batches of `batch_size`, ordered by their ids so that prompts that begin alike stand together,
// and calls `on_answer` for each case of a batch that is through. False when a stop signal came: the batch in hand is
// dropped, and the cases after it are not begun. Progress is shown.
bool answer_cases(generate::Generator& generator, std::vector<PromptCase> cases,
                  const generate::GenerateOptions& options, int64_t batch_size, const OnAnswer& on_answer);

}  // namespace hici::eval
