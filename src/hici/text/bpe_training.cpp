// SPDX-License-Identifier: Apache-2.0
#include "hici/text/bpe_training.h"

#include "hici/text/rust_bridge.h"

namespace hici::text {

struct BpeTraining::Impl {
  ~Impl() { hici_bpe_trainer_free(handle); }
  HiciBpeTrainer* handle = nullptr;
};

BpeTraining::BpeTraining(const BpeTrainingOptions& options) : impl_(std::make_shared<Impl>()) {
  HICI_CHECK_USAGE(options.vocab_size > 0, "`vocab_size`: ", options.vocab_size, " must be positive");
  HICI_CHECK_USAGE(options.min_frequency >= 0, "`min_frequency`: ", options.min_frequency, " is negative");
  HICI_CHECK_USAGE(options.num_threads >= 0, "`num_threads`: ", options.num_threads,
                   " is negative; use 0 for all cores");
  const std::vector<HiciTextView> special = crate::views(options.special_tokens);
  const HiciBpeOptions raw = {.vocab_size = static_cast<size_t>(options.vocab_size),
                              .min_frequency = static_cast<uint64_t>(options.min_frequency),
                              .special = special.data(),
                              .num_special = special.size(),
                              .bos = crate::view(options.bos_token),
                              .num_threads = static_cast<size_t>(options.num_threads)};
  crate::ErrorText error;
  impl_->handle = hici_bpe_trainer_new(&raw, error.out());
  HICI_CHECK_USAGE(impl_->handle, "training a tokenizer: ", error.text());
}

void BpeTraining::feed(std::span<const std::string> texts) {
  const std::vector<HiciTextView> views = crate::views(texts);
  crate::ErrorText error;
  HICI_CHECK(hici_bpe_trainer_feed(impl_->handle, views.data(), views.size(), error.out()),
             "training a tokenizer: ", error.text());
}

std::string BpeTraining::finish() {
  crate::Bytes json;
  crate::ErrorText error;
  HICI_CHECK(hici_bpe_trainer_finish(impl_->handle, json.out(), error.out()), "training a tokenizer: ", error.text());
  return json.text();
}

}  // namespace hici::text
