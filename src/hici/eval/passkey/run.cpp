// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/passkey/run.h"

#include "hici/base/log.h"
#include "hici/config/rope.h"
#include "hici/device/device.h"
#include "hici/eval/answer_cases.h"

#include <ATen/core/Tensor.h>

#include <algorithm>
#include <map>

namespace hici::eval {
namespace {

using Questions = std::map<int64_t, PasskeyQuestion>;  // by the test's number

// As many sequences as take half of the free memory with their keys and values.
int64_t batch_that_fits(const nn::CausalLm& model, int64_t tokens) {
  constexpr int64_t kMost = 8;
  const at::Tensor& weight = model.head_weight();
  const int64_t bytes = nn::kv_row_bytes(model.config(), weight.scalar_type()) * tokens;
  return std::clamp<int64_t>(device::free_memory(weight.device()) / 2 / bytes, 1, kMost);
}

// Not for Dual Chunk Attention, whose positions stay within the model's whatever the length.
void note_if_beyond_rope(const nn::CausalLm& model, int64_t target, int64_t tokens) {
  const double covered = config::rope_reach(model.config()) * model.config().rope.context_factor;
  if (static_cast<double>(tokens) <= covered) return;
  log_info("passkey: prompts for ", target, " tokens have up to ", tokens, " with their answers, RoPE covers ",
           static_cast<int64_t>(covered), " there");
}

bool answer_length(generate::Generator& generator, const nn::CausalLm& model, const text::Tokenizer& tokenizer,
                   const PasskeyRun& run, const Questions& questions, int64_t target, const OnPasskeyTest& on_test) {
  generate::GenerateOptions options = run.generation;
  options.max_new_tokens = 1;
  std::vector<PromptCase> cases;
  size_t longest = 0;
  for (const auto& [index, question] : questions) {
    options.max_new_tokens = std::max(options.max_new_tokens, question.num_answer_tokens());
    longest = std::max(longest, question.prompt.size());
    cases.push_back({index, question.prompt});
  }
  const int64_t tokens = static_cast<int64_t>(longest) + options.max_new_tokens;
  if (options.attention != nn::AttentionKind::kDca) note_if_beyond_rope(model, target, tokens);
  const int64_t batch_size = run.batch_size > 0 ? run.batch_size : batch_that_fits(model, tokens);
  return answer_cases(generator, std::move(cases), options, batch_size,
                      [&](int64_t index, const generate::Answer& answer) {
                        on_test(index, passkey_test(questions.at(index), answer.ids, tokenizer));
                      });
}

}  // namespace

bool answer_passkey_tests(nn::CausalLm& model, const text::Tokenizer& tokenizer, const PasskeyRun& run,
                          const std::vector<int64_t>& indices, const OnPasskeyTest& on_test) {
  generate::Generator generator(model);
  for (auto begin = indices.begin(); begin != indices.end();) {
    const int64_t target = run.plan.length_of(*begin);
    Questions questions;
    for (; begin != indices.end() && run.plan.length_of(*begin) == target; ++begin) {
      questions.emplace(*begin, passkey_question(tokenizer, target, run.plan.seed_of(*begin)));
    }
    model.set_context_factor(run.rope.factor(target));
    log_info("passkey: ", target, " tokens, RoPE factor ", run.rope.factor(target));
    if (!answer_length(generator, model, tokenizer, run, questions, target, on_test)) return false;
  }
  return true;
}

}  // namespace hici::eval
