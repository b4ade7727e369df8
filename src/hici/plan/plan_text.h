// SPDX-License-Identifier: Apache-2.0
// A memory plan in words: for the log, for tables, and for the end of an error message.
#pragma once

#include "hici/plan/memory_plan.h"

#include <string>

namespace hici::plan {

// "weights 12.6 GiB, optimizer ..., total ...": every group that is not empty, at the peak.
std::string describe(const MemoryGroups& groups);
// "keep 10, recompute 22: peak 71.3 GiB (loss), host 0 B".
std::string describe(const MemoryPlan& plan);

// Of a plan on a CPU: what the process takes with it, and what the plan does not count. `resident` is the largest that
// the process has been until now: reading the data (a tokenizer) may have taken more than a step does.
std::string describe_process(const PlanProblem& problem, const MemoryPlan& plan, int64_t resident);

// For the end of an error message: the changes that would fit `budget` with their peaks (plan_alternatives.h), and how
// much memory the step as it is would take at least.
std::string describe_what_fits(const PlanProblem& problem, std::optional<nn::ActivationPolicy> choice, int64_t budget);

}  // namespace hici::plan
