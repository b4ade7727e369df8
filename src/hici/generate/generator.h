// SPDX-License-Identifier: Apache-2.0
// Generation from prompts to answers, both as token ids: prefill of each prompt, then decode for all sequences
// together. Where there are more prompts than places, the next one takes the place of a sequence that has ended.
//
//   generate::Generator generator(*loaded.model);
//   const auto answers = generator.generate({prompt_a, prompt_b}, {.max_new_tokens = 64, .stop_ids = {2}});
//
// Prompts may differ in length. Each has its own rows in the cache, and a decoded token attends to its own sequence
// only. An answer therefore equals that of a single prompt, except for the rounding of products over more rows. With
// full attention a beginning of a prompt that is already in the cache, from an earlier prompt or call, is not forwarded
// again. Order prompts with a common beginning next to each other.
#pragma once

#include "hici/base/enum_names.h"
#include "hici/generate/decode_session.h"
#include "hici/generate/prompt_length.h"
#include "hici/generate/sampling.h"
#include "hici/nn/cached_forward.h"

#include <functional>
#include <memory>
#include <vector>

namespace hici::generate {

struct GenerateOptions {
  int64_t max_new_tokens = 128;
  int64_t min_new_tokens = 0;          // stop ids cannot be chosen before this many tokens
  std::vector<int64_t> stop_ids = {};  // any of them ends a sequence and is not part of the answer
  SamplingOptions sampling = {};
  int64_t batch_size = 0;     // sequences at a time; 0: all
  uint64_t first_stream = 0;  // sequence i uses random stream first_stream + i
  // kHici: the prompt is one segment with its slots as prefix. kFull, kDca: no slots.
  nn::AttentionKind attention = nn::AttentionKind::kFull;
  config::DualChunkRule dual_chunk = {};  // kDca
  bool cache_slots = true;                // kHici: decoded tokens attend to the slots too
  int64_t prefill_chunk = 2048;
  ops::AttentionBackend backend = ops::AttentionBackend::kAuto;  // of the prefill
  bool records_graph = true;                                     // on a GPU, the decode step as one CUDA graph

  // Ranges; messages name the options.
  void validate() const;
};

// The reason for the end of a sequence.
enum class FinishReason {
  kLength,       // max_new_tokens
  kStopToken,    // one of stop_ids
  kCallback,     // on_token returned false: a stop string
  kInterrupted,  // a stop signal (base/signals.h)
};
// As in inference servers, where a token and a string have the same name.
constexpr EnumNames<FinishReason, 4> names_of(FinishReason) {
  return {"finish reason",
          {{{FinishReason::kLength, "length"},
            {FinishReason::kStopToken, "stop"},
            {FinishReason::kCallback, "stop"},
            {FinishReason::kInterrupted, "abort"}}}};
}

struct Answer {
  Ids ids;
  FinishReason finish_reason = FinishReason::kLength;
  int64_t stop_id = -1;  // kStopToken only
};

// Called with each new token (not with stop ids) in the order of the steps; false ends that sequence, which keeps the
// token.
using OnToken = std::function<bool(size_t sequence, int64_t id)>;
// Called with each answer that is whole, in the order in which they end.
using OnEnd = std::function<void(size_t sequence, const Answer& answer)>;

// Tokens and seconds of the last generate(). The first new token of each sequence comes from the prefill.
struct GenerateSpeed {
  int64_t prompt_tokens = 0;  // forwarded; tokens that were already in the cache are not counted
  double prefill_seconds = 0;
  int64_t decoded_tokens = 0;  // of unfinished sequences
  double decode_seconds = 0;
};

class Generator {
 public:
  // The model must outlive this object. Its weights must not change; its RoPE factor may. Cache and recorded step are
  // kept between calls, and replaced if the number of places changes or a longer cache is needed.
  explicit Generator(const nn::CausalLm& model) : model_(model) {}

  // Answers in the order of the prompts. There must be at least one prompt, and none may be empty. Consecutive equal
  // prompts are prefilled once, also with HiCI attention. Errors: ids outside of the vocabulary, a cache larger than
  // the free memory (with its size), nan or infinite logits (with the tensor of the weights that has such a value).
  std::vector<Answer> generate(const std::vector<Ids>& prompts, const GenerateOptions& options,
                               const OnToken& on_token = {}, const OnEnd& on_end = {});
  const GenerateSpeed& speed() const { return speed_; }

 private:
  class Run;

  void prepare(const std::vector<Ids>& prompts, const GenerateOptions& options);
  bool prefill(size_t place, size_t sequence, const std::vector<Ids>& prompts, const nn::PrefillOptions& how);
  at::Tensor prefill_prompt(size_t place, const Ids& prompt, const at::Tensor& ids_1T, nn::PrefillOptions how);
  int64_t reuse_prefix(size_t place, const Ids& prompt);
  [[noreturn]] void fail_not_finite(size_t i, size_t num_answered) const;

  const nn::CausalLm& model_;
  std::unique_ptr<DecodeSession> session_;
  std::vector<Ids> cached_;  // per place of the session: the tokens in its rows, from the first row
  struct {
    size_t place = 0;
    at::Tensor hidden_1C;
  } latest_;            // prompt in the cache, and the hidden state of its last token
  at::Tensor seen_BV_;  // bool; only with a repetition penalty
  GenerateSpeed speed_;
};

}  // namespace hici::generate
