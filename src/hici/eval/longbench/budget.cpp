// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longbench/budget.h"

#include "hici/base/error.h"

#include <span>

namespace hici::eval {
namespace {

std::string cut(const text::Tokenizer& tokenizer, const std::string& prompt, const text::Ids& ids, int64_t max_length) {
  const auto half = static_cast<size_t>(max_length / 2);
  if (static_cast<int64_t>(ids.size()) <= max_length) return prompt;
  const std::span<const uint32_t> all(ids);
  return tokenizer.decode(all.first(half), true) + tokenizer.decode(all.last(half), true);
}

}  // namespace

bool takes_chat_prompt(const LongBenchTask& task) {
  return task.group != LongBenchGroup::kFewShot && task.group != LongBenchGroup::kCode;
}

void LongBenchBudget::check(const std::string& dataset) const {
  HICI_CHECK(max_new_tokens + 2 <= context, dataset, ": answers of ", max_new_tokens,
             " tokens leave no room for a prompt in the model's context of ", context, "; use a larger `context_size`");
  HICI_CHECK_USAGE(max_length == 0 || max_length >= 2, "`max_length`: ", max_length,
                   " tokens have no half; use 2 or more, or 0 for what the model's context has room for");
  HICI_CHECK_USAGE(max_length + max_new_tokens <= context, "`max_length`: ", max_length, " tokens and an answer of ",
                   max_new_tokens, " (", dataset, ") are more than the model's context of ", context,
                   "; use 0 for what it has room for, or a `context_size` of ", max_length + max_new_tokens);
}

std::string without_middle(const text::Tokenizer& tokenizer, const std::string& prompt, int64_t max_length) {
  return cut(tokenizer, prompt, tokenizer.encode(prompt, true), max_length);
}

generate::Ids fit_longbench_prompt(const BenchmarkPrompts& prompts, const std::string& prompt, bool is_chat,
                                   const LongBenchBudget& budget, const std::string& subject) {
  const text::Ids all = prompts.tokenizer().encode(prompt, true);
  const int64_t room = budget.context - budget.max_new_tokens;
  int64_t length = budget.max_length > 0 ? budget.max_length : room;
  for (;;) {
    const std::string text = cut(prompts.tokenizer(), prompt, all, length);
    generate::Ids ids = is_chat ? prompts.chat(text, subject) : prompts.text(text, subject);
    const int64_t excess = static_cast<int64_t>(ids.size()) - room;
    if (excess <= 0) return ids;
    HICI_CHECK(budget.max_length == 0, subject, ": has ", ids.size(), " tokens, cut to `max_length` ", length,
               " and in the chat form, and the model's context has room for ", room,
               " before the answer; use `max_length` 0 or ", length - excess, ", or a larger `context_size`");
    length -= excess;
    HICI_CHECK(length >= 2, subject, ": the chat form alone leaves no room for a prompt in the model's context of ",
               budget.context, "; use a larger `context_size`");
  }
}

}  // namespace hici::eval
