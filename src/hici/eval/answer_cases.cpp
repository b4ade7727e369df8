// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/answer_cases.h"

#include "hici/base/progress.h"
#include "hici/base/signals.h"

#include <algorithm>
#include <utility>

namespace hici::eval {

bool answer_cases(generate::Generator& generator, std::vector<PromptCase> cases,
                  const generate::GenerateOptions& options, int64_t batch_size, const OnAnswer& on_answer) {
  std::stable_sort(cases.begin(), cases.end(),
                   [](const PromptCase& a, const PromptCase& b) { return a.prompt < b.prompt; });
  Progress progress("answers", static_cast<int64_t>(cases.size()));
  generate::GenerateOptions batch_options = options;
  for (size_t at = 0; at < cases.size(); at += static_cast<size_t>(batch_size)) {
    const size_t count = std::min(static_cast<size_t>(batch_size), cases.size() - at);
    std::vector<generate::Ids> prompts;
    for (size_t i = 0; i < count; ++i) prompts.push_back(std::move(cases[at + i].prompt));
    const std::vector<generate::Answer> answers = generator.generate(prompts, batch_options);
    if (stop_requested() != 0) return false;
    for (size_t i = 0; i < count; ++i) on_answer(cases[at + i].index, answers[i]);
    batch_options.first_stream += count;
    progress.update(static_cast<int64_t>(at + count));
  }
  progress.finish();
  return true;
}

}  // namespace hici::eval
