// SPDX-License-Identifier: Apache-2.0
// The plan of a step before it runs on a device: with the requested policy, or with policies that fit.
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
  std::optional<int64_t> budget;               // bytes for the step's tensors; unknown on a CPU
  std::optional<nn::ActivationPolicy> choice;  // requested; nullopt: chosen by the plan

  bool fits() const { return !budget || plan.peak.groups.total() <= *budget; }
};

// Bytes for tensors of this process on a GPU: free memory and the memory of its allocator, minus the margin (kMargin).
// nullopt on a CPU.
std::optional<int64_t> memory_budget(at::Device device);

// With a `choice`, that policy for every layer. Without one, the fastest mix that fits on a GPU, or offload for every
// layer if none fits; on a CPU keep.
PlannedStep plan_step(PlanProblem problem, std::optional<nn::ActivationPolicy> choice, at::Device device);
// The same for a budget of memory_budget(): the smallest of several processes', which must choose alike.
PlannedStep plan_step(PlanProblem problem, std::optional<nn::ActivationPolicy> choice, std::optional<int64_t> budget);

// Logs the plan in two lines, with a warning if a requested policy does not fit. An hici::Error with alternatives if no
// policy was requested and none fits.
void announce_plan(const PlannedStep& step);

// One line for an allocation that failed in step `step`: `what` is the allocator's message.
std::string describe_out_of_memory(const PlannedStep& planned, int64_t step, std::string_view what);

}  // namespace hici::plan
