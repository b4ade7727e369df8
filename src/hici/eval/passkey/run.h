// SPDX-License-Identifier: Apache-2.0
// Runs passkey tests on a model, one length at a time.
#pragma once

#include "hici/eval/passkey/passkey.h"
#include "hici/generate/generator.h"
#include "hici/nn/causal_lm.h"
#include "hici/text/tokenizer.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace hici::eval {

struct PasskeyRun {
  PasskeyPlan plan;
  PasskeyRope rope;
  generate::GenerateOptions generation;  // max_new_tokens follows from the keys
  int64_t batch_size = 0;                // prompts of one length; 0: as many as fit half of the free memory, 1 to 8
};

// Called after each batch. Tests are ordered so that prompts with a common beginning are adjacent.
using OnPasskeyTest = std::function<void(int64_t index, const PasskeyTest& test)>;

// Runs the tests with these indices, which must ascend. Sets the model's RoPE factor and leaves it at that of the last
// length. False after a stop signal: the batch in progress is dropped.
bool answer_passkey_tests(nn::CausalLm& model, const text::Tokenizer& tokenizer, const PasskeyRun& run,
                          const std::vector<int64_t>& indices, const OnPasskeyTest& on_test);

}  // namespace hici::eval
