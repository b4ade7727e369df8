// SPDX-License-Identifier: Apache-2.0
// A memory plan as text, for the log, for tables and for error messages.
#pragma once

#include "hici/plan/memory_plan.h"

#include <string>

namespace hici::plan {

// "weights 12.6 GiB, optimizer ..., total ...": every group that is not empty, at the peak.
std::string describe(const MemoryGroups& groups);
// "keep 10, recompute 22: peak 71.3 GiB (loss), host 0 B".
std::string describe(const MemoryPlan& plan);

// For a plan on a CPU: the memory of the process with it, and parts that the plan does not count. `resident` is the
// peak of the process so far: reading the data (a tokenizer) may need more than a step.
std::string describe_process(const PlanProblem& problem, const MemoryPlan& plan, int64_t resident);

// The end of an error message: the changes that would fit `budget` with their peaks (plan_alternatives.h), and the
// memory that the unchanged step needs.
std::string describe_what_fits(const PlanProblem& problem, std::optional<nn::ActivationPolicy> choice, int64_t budget);

}  // namespace hici::plan
