// SPDX-License-Identifier: Apache-2.0
// Passkey tests through a model, a length at a time.
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
  generate::GenerateOptions generation;  // max_new_tokens is set by the keys
  int64_t batch_size = 0;  // prompts of one length together; 0: what half of the free memory holds, 1 to 8
};

// Called when a batch is through, in the order in which prompts that begin alike stand together.
using OnPasskeyTest = std::function<void(int64_t index, const PasskeyTest& test)>;

// The tests with these numbers, which ascend. Sets the model's RoPE factor, which stays as the last length needed it.
// False when a stop signal came: the batch in hand is dropped.
bool answer_passkey_tests(nn::CausalLm& model, const text::Tokenizer& tokenizer, const PasskeyRun& run,
                          const std::vector<int64_t>& indices, const OnPasskeyTest& on_test);

}  // namespace hici::eval
