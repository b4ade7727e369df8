// SPDX-License-Identifier: Apache-2.0
// Passkey retrieval as in the research code: the model is asked for a number that is hidden in a prompt, at several
// lengths. eval/passkey/prompt.h makes the prompts.
#pragma once

#include "hici/config/model_config.h"
#include "hici/eval/passkey/result.h"
#include "hici/generate/prompt_length.h"
#include "hici/text/tokenizer.h"

#include <cstdint>
#include <vector>

namespace hici::eval {

// The list of tests: seeds 0 to num_tests - 1 at each length. `index` numbers all tests, length by length.
struct PasskeyPlan {
  int64_t max_tokens = 32'000;
  int64_t interval = 1000;
  int64_t num_tests = 10;  // per length

  // Ranges; messages name the options.
  void validate() const;
  // interval, 2 * interval, ... up to max_tokens.
  std::vector<int64_t> lengths() const;
  int64_t num_cases() const { return max_tokens / interval * num_tests; }
  int64_t length_of(int64_t index) const { return (index / num_tests + 1) * interval; }
  uint32_t seed_of(int64_t index) const { return static_cast<uint32_t>(index % num_tests); }
};

// RoPE factors for two ranges of length. Up to `context` tokens the factor is that of training. All longer prompts have
// the factor of max_tokens: ceil(max_tokens / original). Both are values of RopeConfig::context_factor.
struct PasskeyRope {
  int64_t context = 0;
  double training_factor = 1;
  double long_factor = 1;

  double factor(int64_t tokens) const { return tokens <= context ? training_factor : long_factor; }
};

// `config` is that of the loaded model, `context` the length of its factor. With `context` 0 (unknown), max_tokens
// beyond the model's reach are an error that states the factor.
PasskeyRope passkey_rope(const config::ModelConfig& config, int64_t context, int64_t max_tokens);

// A test as token ids.
struct PasskeyQuestion {
  uint32_t seed = 0;
  double depth = 0;
  int64_t key = 0;
  generate::Ids prompt;
  std::vector<generate::Ids> right;  // the answer must begin with one of these

  // Length of the longest element of `right`: the number of tokens to generate and to show.
  int64_t num_answer_tokens() const;
  bool is_right(const generate::Ids& answer) const;
};

// The prompt, with BOS if the tokenizer adds one. Two answers are right: the tokens of the key after the question ("
// 12345"), and the tokens of the key alone ("12345"), with which the research code compares. For Llama-2 both are the
// same; Llama-3 and Qwen3 write the space as a separate token. An error if the tokenizer cannot encode the key.
PasskeyQuestion passkey_question(const text::Tokenizer& tokenizer, int64_t target_tokens, uint32_t seed);

// The result of an answer. `answer` may be longer or shorter than the key.
PasskeyTest passkey_test(const PasskeyQuestion& question, const generate::Ids& answer,
                         const text::Tokenizer& tokenizer);

// The tests of a plan, in its order, by length.
std::vector<PasskeyLength> passkey_lengths(const PasskeyPlan& plan, const PasskeyRope& rope,
                                           std::vector<PasskeyTest> tests);

}  // namespace hici::eval
