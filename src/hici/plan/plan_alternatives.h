// SPDX-License-Identifier: Apache-2.0
// Alternatives to a step that does not fit. Each change is planned separately; those that fit are listed with their
// memory.
#pragma once

#include "hici/plan/memory_plan.h"

#include <optional>
#include <string>
#include <vector>

namespace hici::plan {

struct Alternative {
  std::string options;  // with fields in backquotes: "`stream_segments` True `causal_mode` causal_gi"
  MemoryPlan plan;
};

// `choice` is the requested activation policy; nullopt: the fastest mix that fits. Alternatives that change the work
// least come first: another policy, fewer sequences at once, one segment at a time (with another causal mode if the
// present one forbids streaming, and with more segments if those are too long), fewer trained parameters, a shorter
// sequence.
std::vector<Alternative> alternatives_that_fit(const PlanProblem& problem, std::optional<nn::ActivationPolicy> choice,
                                               int64_t budget);

// The activation policy that takes the least memory, in all layers.
MemoryPlan leanest_plan(const PlanProblem& problem);
// Bytes of the smallest memory for the unchanged step, including CUDA's own part and the margin.
int64_t least_memory(const PlanProblem& problem);

}  // namespace hici::plan
