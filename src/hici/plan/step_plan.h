// SPDX-License-Identifier: Apache-2.0
// The plan of the step that is about to run on a device: policies as they were asked for, or those that fit.
#pragma once

#include "hici/plan/memory_plan.h"

#include <c10/core/Device.h>

#include <optional>
#include <string>
#include <string_view>

namespace hici::plan {

struct PlannedStep {
  PlanProblem problem;
  MemoryPlan plan;
  std::optional<int64_t> budget;               // bytes that the step's tensors may take; not known on a CPU
  std::optional<nn::ActivationPolicy> choice;  // that was asked for; nullopt: ours to choose

  bool fits() const { return !budget || plan.peak.groups.total() <= *budget; }
};

// Bytes that tensors of this process may take on a GPU: what is free and what its allocator holds, less the margin
// (kMargin). nullopt on a CPU.
std::optional<int64_t> memory_budget(at::Device device);

// With a `choice` that policy for every layer. Without one: on a GPU the fastest mix that fits, or offloading
// everywhere when none does; on a CPU keep.
PlannedStep plan_step(PlanProblem problem, std::optional<nn::ActivationPolicy> choice, at::Device device);
// The same for a budget of memory_budget(): the smallest of several processes', which must choose alike.
PlannedStep plan_step(PlanProblem problem, std::optional<nn::ActivationPolicy> choice, std::optional<int64_t> budget);

// An hici::Error with what would fit, when the policies were ours to choose and none fits; else the plan in two lines
// of the log, with a warning where a policy that was asked for does not fit.
void announce_plan(const PlannedStep& step);

// One line for an allocation that failed in step `step`: `what` is the allocator's message.
std::string describe_out_of_memory(const PlannedStep& planned, int64_t step, std::string_view what);

}  // namespace hici::plan
