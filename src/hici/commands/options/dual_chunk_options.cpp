// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/dual_chunk_options.h"

#include "hici/base/error.h"

namespace hici::commands {

void DualChunkOptions::bind(CLI::App& command) {
  add_tokens(command, "pretraining_length", pretraining_length,
             "With dca: tokens that the model was trained with; a chunk's positions are 3/4 of them. 0: what its RoPE "
             "covers");
  add_tokens(command, "dca_local_window", local_window,
             "With dca: positions of a chunk that the next one goes on with; 0: 1/16 of --pretraining_length (the "
             "paper's Llama evaluations: 1/4)");
  add_bool(command, "dca_mscale", mscale,
           "With dca on Llama: cosine and sine times 0.05 ln(T / max_position_embeddings) + 1");
}

void DualChunkOptions::check(bool is_used, const std::string& way_out, ops::AttentionBackend backend) const {
  for (const DeclaredOption* option : OptionList{&pretraining_length, &local_window, &mscale}) {
    HICI_CHECK_USAGE(is_used || !option->typed(), option->name(), ": has no effect without ", way_out,
                     "; give that, or leave it out");
  }
  if (!is_used) return;
  HICI_CHECK_USAGE(backend != ops::AttentionBackend::kCudnn && backend != ops::AttentionBackend::kHopper,
                   "--attention_backend: ", name_of(backend),
                   " gives no sums to join the parts of dca by; use auto, flash or math");
}

config::DualChunkRule DualChunkOptions::rule(int64_t length) const {
  return {pretraining_length.value, local_window.value, mscale.value ? length : 0};
}

}  // namespace hici::commands
