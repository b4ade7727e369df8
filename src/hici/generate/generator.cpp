// SPDX-License-Identifier: Apache-2.0
#include "hici/generate/generator.h"

#include "hici/base/error.h"
#include "hici/base/signals.h"
#include "hici/device/device.h"
#include "hici/nn/non_finite.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <chrono>

namespace hici::generate {
namespace {

using Clock = std::chrono::steady_clock;

// In place of a token where the logits are not finite: so that one copy to the host says both.
constexpr int64_t kNoToken = -1;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void check_prompts(const std::vector<Ids>& prompts, int64_t vocab_size) {
  HICI_ASSERT(!prompts.empty(), "no prompt");
  for (const Ids& prompt : prompts) {
    HICI_CHECK(!prompt.empty(), "prompt: is empty; give at least one token");
    for (const int64_t id : prompt) {
      HICI_CHECK(id >= 0 && id < vocab_size, "prompt: token id ", id, " is not in the model's vocabulary of ",
                 vocab_size, "; does the tokenizer belong to another model?");
    }
  }
}

// [steps, B], float64
at::Tensor draw_uniform(const GenerateOptions& options, size_t batch) {
  const auto sequences = static_cast<int64_t>(batch);
  at::Tensor uniform = at::empty({options.max_new_tokens, sequences}, at::kDouble);
  double* number = uniform.mutable_data_ptr<double>();
  for (int64_t step = 0; step < options.max_new_tokens; ++step) {
    for (int64_t i = 0; i < sequences; ++i) {
      *number++ = uniform_number(options.sampling.seed, options.first_stream + static_cast<uint64_t>(i),
                                 static_cast<uint64_t>(step));
    }
  }
  return uniform;
}

bool is_stop_id(const GenerateOptions& options, int64_t id) {
  return std::find(options.stop_ids.begin(), options.stop_ids.end(), id) != options.stop_ids.end();
}

// Those that the vocabulary has, where `logits_BV` are.
at::Tensor known_stop_ids(const GenerateOptions& options, const at::Tensor& logits_BV) {
  Ids known;
  for (const int64_t id : options.stop_ids) {
    if (id >= 0 && id < logits_BV.size(1)) known.push_back(id);
  }
  return at::tensor(known, at::kLong).to(logits_BV.device());
}

// Takes one token; false when the sequence is at its end, with the reason in the answer.
bool take(size_t sequence, int64_t id, const GenerateOptions& options, const OnToken& on_token, Answer& answer) {
  if (is_stop_id(options, id)) {
    answer.finish_reason = FinishReason::kStopToken;
    answer.stop_id = id;
    return false;
  }
  answer.ids.push_back(id);
  if (!on_token || on_token(sequence, id)) return true;
  answer.finish_reason = FinishReason::kCallback;
  return false;
}

}  // namespace

void GenerateOptions::validate() const {
  constexpr int64_t kMostNewTokens = int64_t{1} << 24;
  HICI_CHECK_USAGE(max_new_tokens >= 1 && max_new_tokens <= kMostNewTokens, "`max_new_tokens`: ", max_new_tokens,
                   " is out of range; use 1 to ", kMostNewTokens);
  HICI_CHECK_USAGE(min_new_tokens >= 0 && min_new_tokens <= max_new_tokens, "`min_new_tokens`: ", min_new_tokens,
                   " is out of range; use 0 to `max_new_tokens` ", max_new_tokens);
  HICI_CHECK_USAGE(prefill_chunk >= 1, "`prefill_chunk`: ", prefill_chunk, " is not positive; use 1 or more");
  using enum nn::AttentionKind;
  HICI_CHECK_USAGE(attention != kS2 && attention != kSegments, "`attention`: ", nn::attention_kind_name(attention),
                   " has no form over a cache; use full, hici or dca");
  sampling.validate();
}

std::vector<Answer> Generator::generate(const std::vector<Ids>& prompts, const GenerateOptions& options,
                                        const OnToken& on_token) {
  const at::NoGradGuard no_grad;
  options.validate();
  check_prompts(prompts, model_.head_weight().size(0));
  speed_ = {};
  prepare(prompts, options);
  std::vector<Answer> answers(prompts.size());
  if (prefill(prompts, options)) {
    decode(answers, options, on_token);
  } else {
    for (Answer& answer : answers) answer.finish_reason = FinishReason::kInterrupted;
  }
  return answers;
}

// The session of the call before where it fits, else one whose capacity is a whole number of 256 rows.
void Generator::prepare(const std::vector<Ids>& prompts, const GenerateOptions& options) {
  constexpr int64_t kRows = 256;
  size_t longest = 0;
  for (const Ids& prompt : prompts) longest = std::max(longest, prompt.size());
  SessionShape shape;
  shape.batch = static_cast<int64_t>(prompts.size());
  shape.num_slots = options.attention == nn::AttentionKind::kHici ? nn::num_prompt_slots(model_) : 0;
  shape.decode_uses_slots = options.cache_slots;
  shape.records_graph = options.records_graph;
  shape.context_factor = model_.config().rope.context_factor;
  if (options.attention == nn::AttentionKind::kDca) shape.dual_chunk = options.dual_chunk.resolve(model_.config());
  const int64_t rows = shape.num_slots + static_cast<int64_t>(longest) + options.max_new_tokens;
  shape.capacity = (rows + kRows - 1) / kRows * kRows;
  if (session_) {
    SessionShape present = session_->shape();
    const bool has_room = present.capacity >= rows;
    present.capacity = shape.capacity;
    if (has_room && present == shape) return;
    session_.reset();  // before the next one asks for memory
  }
  cached_.assign(prompts.size(), {});
  session_ = std::make_unique<DecodeSession>(model_, shape);
}

// Brings the longest beginning of the prompt that any sequence holds into sequence i; its length, less than the prompt:
// the last token has to be forwarded for its logits.
int64_t Generator::reuse_prefix(size_t i, const Ids& prompt) {
  const auto shared_with = [&](size_t sequence) {
    const Ids& ids = cached_[sequence];
    const auto end = ids.begin() + static_cast<std::ptrdiff_t>(std::min(ids.size(), prompt.size() - 1));
    return std::mismatch(ids.begin(), end, prompt.begin()).first - ids.begin();
  };
  size_t source = i;  // where others have no more, nothing is copied
  std::ptrdiff_t length = shared_with(i);
  for (size_t other = 0; other < cached_.size(); ++other) {
    const std::ptrdiff_t more = shared_with(other);
    if (more <= length) continue;
    source = other;
    length = more;
  }
  if (source != i)
    session_->cache().copy_rows(static_cast<int64_t>(source), static_cast<int64_t>(i), static_cast<int64_t>(length));
  cached_[i].assign(prompt.begin(), prompt.begin() + length);
  return length;
}

// False when a signal ended it.
bool Generator::prefill_sequence(size_t i, const Ids& prompt, const at::Tensor& ids_1T, nn::PrefillOptions how) {
  const auto b = static_cast<int64_t>(i);
  // Where slots read the whole prompt no two prompts have a row in common.
  const bool may_share = how.attention != nn::AttentionKind::kHici;
  if (!may_share) cached_[i].clear();
  if (may_share) how.num_cached = reuse_prefix(i, prompt);
  const at::Tensor hidden_1C = nn::prefill(model_, ids_1T, session_->cache().sequence(b), how);
  if (!hidden_1C.defined()) return false;
  session_->set_logits(b, hidden_1C);
  speed_.prompt_tokens += static_cast<int64_t>(prompt.size()) - how.num_cached;
  if (may_share) cached_[i] = prompt;
  return true;
}

// Each prompt by itself into its part of the cache; false when a signal ended it.
bool Generator::prefill(const std::vector<Ids>& prompts, const GenerateOptions& options) {
  const auto start = Clock::now();
  const at::Device device = model_.head_weight().device();
  const nn::PrefillOptions how{options.attention, options.prefill_chunk, options.backend,
                               [] { return stop_requested() == 0; }, 0};
  std::vector<int64_t> positions;
  const bool has_penalty = options.sampling.repetition_penalty != 1;
  seen_BV_ = has_penalty ? at::zeros_like(session_->logits_BV(), at::kBool) : at::Tensor();
  for (size_t i = 0; i < prompts.size(); ++i) {
    const auto b = static_cast<int64_t>(i);
    positions.push_back(static_cast<int64_t>(prompts[i].size()));
    const at::Tensor ids_1T = at::tensor(prompts[i], at::kLong).unsqueeze(0).to(device);
    if (has_penalty) seen_BV_.narrow(0, b, 1).scatter_(1, ids_1T, true);
    if (i > 0 && prompts[i] == prompts[i - 1]) {
      session_->cache().copy_rows(b - 1, b, session_->cache().num_slots + positions.back());
      session_->copy_logits(b - 1, b);
      cached_[i] = cached_[i - 1];
      continue;
    }
    if (!prefill_sequence(i, prompts[i], ids_1T, how)) return false;
  }
  session_->positions_B().copy_(at::tensor(positions, at::kLong));
  device::synchronize(device);
  speed_.prefill_seconds = seconds_since(start);
  return true;
}

// Says which tensor of the weights is to blame where one is.
void Generator::fail_not_finite(size_t i, size_t num_answered) const {
  nn::fail_not_finite(model_, detail::concat("the choice of the next token (prompt ", i, " of the batch, token ",
                                             num_answered, " of its answer)"));
}

void Generator::decode(std::vector<Answer>& answers, const GenerateOptions& options, const OnToken& on_token) {
  const auto start = Clock::now();
  at::Tensor uniform;
  if (!options.sampling.is_greedy()) {
    uniform = draw_uniform(options, answers.size()).to(session_->tokens_B().device());
  }
  at::Tensor stop_ids;
  if (options.min_new_tokens > 0) stop_ids = known_stop_ids(options, session_->logits_BV());
  std::vector<bool> is_active(answers.size(), true);
  auto num_active = static_cast<int64_t>(answers.size());
  for (int64_t step = 0; num_active > 0 && step < options.max_new_tokens; ++step) {
    if (step > 0) {
      if (stop_requested() != 0) {
        for (size_t i = 0; i < answers.size(); ++i) {
          if (is_active[i]) answers[i].finish_reason = FinishReason::kInterrupted;
        }
        break;
      }
      session_->advance();
      speed_.decoded_tokens += num_active;
    }
    const at::Tensor logits_BV =
        step < options.min_new_tokens ? without_tokens(session_->logits_BV(), stop_ids) : session_->logits_BV();
    const at::Tensor tokens_B =
        choose_tokens(logits_BV, uniform.defined() ? uniform[step] : uniform, seen_BV_, options.sampling);
    session_->tokens_B().copy_(tokens_B);
    if (seen_BV_.defined()) seen_BV_.scatter_(1, tokens_B.unsqueeze(1), true);
    const at::Tensor on_host = at::where(session_->finite_B(), tokens_B, kNoToken).cpu();
    for (size_t i = 0; i < answers.size(); ++i) {
      if (!is_active[i]) continue;
      const int64_t id = on_host.const_data_ptr<int64_t>()[i];
      if (id == kNoToken) fail_not_finite(i, answers[i].ids.size());
      if (take(i, id, options, on_token, answers[i])) continue;
      is_active[i] = false;
      --num_active;
    }
  }
  speed_.decode_seconds = seconds_since(start);
}

}  // namespace hici::generate
