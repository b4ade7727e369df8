// SPDX-License-Identifier: Apache-2.0
// What a process of a training step sends, and how much of the step nothing hides. Computed from shapes, a link rate
// and a rate of products; docs/distributed.md has the table.
//
//   gradients  once per step: reduce-scatter of float32 sums (--shard none: all-reduce)
//   weights    once per step: all-gather of new weights (--shard none: nothing)
//   frozen     per layer, forward and backward: all-gather of its frozen weights, under the layer before (--shard full)
//   slots      per layer, forward and backward, again where it is recomputed: local slots, or sums of them when
//   streamed
#pragma once

#include "hici/plan/memory_plan.h"

namespace hici::plan {

// Bytes that one process sends in a step; the others send as many to it.
struct StepTraffic {
  double gradients = 0;
  double weights = 0;
  double frozen = 0;
  double slots = 0;
  double slot_calls = 0;  // collectives of slots, each with a latency
  double host = 0;        // bytes from host memory to the card and back: offloaded weights and optimizer state

  double total() const { return gradients + weights + frozen + slots; }
};

StepTraffic count_step_traffic(const PlanProblem& problem, const nn::ActivationPolicies& policies);

struct LinkRates {
  double bytes_per_second = 0;        // of one process, in each direction
  double group_bytes_per_second = 0;  // between the processes that cut frozen weights
  double host_bytes_per_second = 0;   // between host memory and the card, in each direction
  double flops_per_second = 0;        // that the products of a step reach
  double call_seconds = 0;            // until a small collective is through
};

// As measured between two H200s of one host (docs/performance-results.md), for what nobody said.
inline constexpr LinkRates kNvlinkRates{225e9, 225e9, 54e9, 550e12, 40e-6};

struct StepPrediction {
  double compute_seconds = 0;  // of one process without any other
  double exposed_seconds = 0;  // that nothing hides

  double efficiency() const { return compute_seconds / (compute_seconds + exposed_seconds); }
};

StepPrediction predict_step(const PlanProblem& problem, const nn::ActivationPolicies& policies, const LinkRates& rates);

}  // namespace hici::plan
