// SPDX-License-Identifier: Apache-2.0
// Token ids of a LongBench prompt within its budget, as in LongBench's pred.py. A prompt of more tokens than the budget
// keeps its first and last half of the budget, which are decoded to text again. The chat form is applied after that.
#pragma once

#include "hici/eval/benchmark_prompts.h"
#include "hici/eval/longbench/tasks.h"

#include <cstdint>
#include <string>

namespace hici::eval {

// Whether prompts of a data set have the chat form: all except the few-shot and the code data sets.
bool takes_chat_prompt(const LongBenchTask& task);

struct LongBenchBudget {
  int64_t max_length = 0;      // tokens of a prompt before the chat form; 0: all that fit
  int64_t max_new_tokens = 0;  // of the answer
  int64_t context = 0;         // of the model

  // An error that begins with `dataset` if half of a prompt is empty, or if prompt and answer exceed the context.
  void check(const std::string& dataset) const;
};

// `prompt` as text. If it has more than `max_length` tokens, including the tokenizer's special tokens, its middle is
// removed.
std::string without_middle(const text::Tokenizer& tokenizer, const std::string& prompt, int64_t max_length);

// The ids of a prompt that leaves room for the answer. With a given max_length, a prompt that is too long with the chat
// form is an hici::Error that begins with `subject`. With max_length 0 the tokens of the chat form are cut from the
// prompt too.
generate::Ids fit_longbench_prompt(const BenchmarkPrompts& prompts, const std::string& prompt, bool is_chat,
                                   const LongBenchBudget& budget, const std::string& subject);

}  // namespace hici::eval
