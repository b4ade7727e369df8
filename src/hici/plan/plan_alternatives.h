// SPDX-License-Identifier: Apache-2.0
// What could be changed about a step that does not fit: each change is planned by itself, and those that fit are named
// with their figures.
#pragma once

#include "hici/plan/memory_plan.h"

#include <optional>
#include <string>
#include <vector>

namespace hici::plan {

struct Alternative {
  std::string options;  // as they are typed: "`stream_segments` True `causal_mode` causal_gi"
  MemoryPlan plan;
};

// `choice` is the activation policy that was asked for; nullopt: the fastest mix that fits is taken. What changes the
// work least stands first: another policy, fewer sequences at once, segments one at a time (with another causal mode
// where the present one forbids it, and with more segments where those are too long), less that is trained, a shorter
// sequence.
std::vector<Alternative> alternatives_that_fit(const PlanProblem& problem, std::optional<nn::ActivationPolicy> choice,
                                               int64_t budget);

// Bytes of the smallest memory, CUDA's own part and the margin included, in which the step as it is would fit.
int64_t least_memory(const PlanProblem& problem);

}  // namespace hici::plan
