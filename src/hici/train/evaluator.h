// SPDX-License-Identifier: Apache-2.0
// The loss of a model over a data set that it is not trained on, while it is trained: the run's own forward pass,
// without gradients and without dropout, in memory that does not depend on the size of the data set.
#pragma once

#include "hici/data/batch_source.h"
#include "hici/nn/causal_lm.h"
#include "hici/parallel/world.h"
#include "hici/train/micro_batch.h"

#include <cstdint>
#include <functional>
#include <optional>

namespace hici::train {

struct MeanLoss {
  double loss = 0;      // mean over the target tokens, nats
  int64_t targets = 0;  // of all processes together
};

class Evaluator {
 public:
  // All are lent. `forward` is that of the training run; what its layers keep for a backward pass is not looked at.
  // With `stream_segments` one segment at a time is at work.
  Evaluator(const nn::CausalLm& model, nn::ForwardOptions forward, const data::BatchSource& samples, int64_t batch_size,
            bool stream_segments, const parallel::World& world);

  // All processes call it; each takes batches of its own, and all get the same. The batches do not depend on the number
  // of processes, so that the result is the same but for the rounding of a sum in float64. `should_stop` is asked
  // before each batch and must answer alike in all processes; nullopt when it said so. A loss that is not finite is
  // returned as it is.
  std::optional<MeanLoss> run(const std::function<bool()>& should_stop,
                              const std::function<void(int64_t done, int64_t total)>& on_batches) const;

  int64_t num_samples() const { return samples_.num_samples(); }

 private:
  int64_t num_batches() const { return (num_samples() + batch_size_ - 1) / batch_size_; }
  MicroBatch read(int64_t batch) const;
  double sum_of_losses(const MicroBatch& micro) const;

  const nn::CausalLm& model_;
  nn::ForwardOptions forward_;
  const data::BatchSource& samples_;
  int64_t batch_size_;
  bool stream_segments_;
  const parallel::World& world_;
  BatchShare share_;
  at::Device device_;
};

}  // namespace hici::train
