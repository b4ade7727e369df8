// SPDX-License-Identifier: Apache-2.0
// Prompts of passkey retrieval, as Landmark Attention (Mohtashami and Jaggi, arXiv 2305.16300) made them and LongLoRA
// and HiCI use them: a number hidden in filler text, and the question for it.
#pragma once

#include <cstdint>
#include <string>

namespace hici::eval {

struct PasskeyPrompt {
  std::string text;           // task, filler, the line with the key, filler, question; one line each
  int64_t key = 0;            // in [1, 50000); the right answer
  int64_t prefix_length = 0;  // characters of filler before the key, in [0, filler_length)
};

// numpy's legacy generator of this seed draws the position of the key, then the key.
// `filler_length`: characters of filler on both sides together, 1 to 2^32.
PasskeyPrompt make_passkey_prompt(int64_t filler_length, uint32_t seed);

// Characters of filler for a prompt of about `num_tokens` tokens: 3.75 per token, rounded down to a multiple of 1024.
int64_t passkey_filler_length(int64_t num_tokens);

}  // namespace hici::eval
