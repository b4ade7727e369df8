// SPDX-License-Identifier: Apache-2.0
// From a case of LongBench to the ids of a prompt that fits, as LongBench's pred.py makes them: a prompt of more tokens
// than its budget keeps the first and the last half of the budget, as text again, and only then the chat form is put
// around it.
#pragma once

#include "hici/eval/benchmark_prompts.h"
#include "hici/eval/longbench/tasks.h"

#include <cstdint>
#include <string>

namespace hici::eval {

// Whether a data set's prompts are put into the chat form: all but the few-shot and the code data sets.
bool takes_chat_prompt(const LongBenchTask& task);

struct LongBenchBudget {
  int64_t max_length = 0;      // tokens of a prompt before the chat form; 0: as many as there is room for
  int64_t max_new_tokens = 0;  // of the answer
  int64_t context = 0;         // of the model

  // Two numbers that leave no half of a prompt, or do not fit into the context together. `dataset` begins the message.
  void check(const std::string& dataset) const;
};

// `prompt` in text with its middle cut out when it has more than `max_length` tokens, with those that the tokenizer
// puts around texts.
std::string without_middle(const text::Tokenizer& tokenizer, const std::string& prompt, int64_t max_length);

// The ids of a prompt, which leave room for the answer. With a max_length of its own a prompt that is too long after
// the chat form was added is an hici::Error that begins with `subject`; else the cut takes that much more.
generate::Ids fit_longbench_prompt(const BenchmarkPrompts& prompts, const std::string& prompt, bool is_chat,
                                   const LongBenchBudget& budget, const std::string& subject);

}  // namespace hici::eval
