// SPDX-License-Identifier: Apache-2.0
// Prompts in, answers out, as token ids: prefill, then one token after the other for all sequences together.
//
//   generate::Generator generator(*loaded.model);
//   const auto answers = generator.generate({prompt_a, prompt_b}, {.max_new_tokens = 64, .stop_ids = {2}});
//
// Prompts may differ in length: each goes into the cache by itself, and a decoded token sees its own sequence alone, so
// that an answer is that of the prompt alone but for the rounding of products over more rows. With full attention what
// a prompt begins with is not forwarded again where it stands in the cache already, from a prompt before it or from the
// call before: prompts that begin alike cost less one after the other.
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
  int64_t min_new_tokens = 0;          // before so many no stop id can be chosen
  std::vector<int64_t> stop_ids = {};  // any of them ends a sequence and is not part of the answer
  SamplingOptions sampling = {};
  uint64_t first_stream = 0;  // sequence i draws the numbers of stream first_stream + i
  // kHici: the prompt is one segment with its slots in front. kFull, kDca: no slots.
  nn::AttentionKind attention = nn::AttentionKind::kFull;
  config::DualChunkRule dual_chunk = {};  // kDca
  bool cache_slots = true;                // kHici: decoded tokens see the slots too
  int64_t prefill_chunk = 2048;
  ops::AttentionBackend backend = ops::AttentionBackend::kAuto;  // of the prefill
  bool records_graph = true;                                     // a GPU's decoding step as one graph

  // Ranges; messages name the options.
  void validate() const;
};

// Why a sequence ended.
enum class FinishReason {
  kLength,       // max_new_tokens
  kStopToken,    // one of stop_ids
  kCallback,     // on_token returned false: a stop string
  kInterrupted,  // a stop signal (base/signals.h)
};
// In the words of inference servers; a token and a string are the same there.
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

// Tokens and seconds of the last generate(). The first new token of each sequence comes from the prefill.
struct GenerateSpeed {
  int64_t prompt_tokens = 0;  // that were forwarded; those that the cache held already are not counted
  double prefill_seconds = 0;
  int64_t decoded_tokens = 0;  // of sequences that were not at their end
  double decode_seconds = 0;
};

class Generator {
 public:
  // The model must outlive this, and its weights must not change; its RoPE factor may. Keeps cache and recorded step
  // from one call to the next and takes new ones where the number of sequences changes or more room is needed.
  explicit Generator(const nn::CausalLm& model) : model_(model) {}

  // Answers in the order of the prompts, of which there is at least one, none empty. Equal prompts in a row are
  // prefilled once, with HiCI attention too. Errors: ids that the model does not have, a cache larger than the free
  // memory (with its size), logits that are nan or infinite (with the tensor of the weights that is).
  std::vector<Answer> generate(const std::vector<Ids>& prompts, const GenerateOptions& options,
                               const OnToken& on_token = {});
  const GenerateSpeed& speed() const { return speed_; }

 private:
  void prepare(const std::vector<Ids>& prompts, const GenerateOptions& options);
  bool prefill(const std::vector<Ids>& prompts, const GenerateOptions& options);
  bool prefill_sequence(size_t i, const Ids& prompt, const at::Tensor& ids_1T, nn::PrefillOptions how);
  int64_t reuse_prefix(size_t i, const Ids& prompt);
  void decode(std::vector<Answer>& answers, const GenerateOptions& options, const OnToken& on_token);
  [[noreturn]] void fail_not_finite(size_t i, size_t num_answered) const;

  const nn::CausalLm& model_;
  std::unique_ptr<DecodeSession> session_;
  std::vector<Ids> cached_;  // for each sequence of the session: tokens that its rows stand for, from the first on
  at::Tensor seen_BV_;       // bool, where there is a repetition penalty
  GenerateSpeed speed_;
};

}  // namespace hici::generate
