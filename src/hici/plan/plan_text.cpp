// SPDX-License-Identifier: Apache-2.0
#include "hici/plan/plan_text.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/plan/plan_alternatives.h"

#include <utility>

namespace hici::plan {
namespace {

// In bfloat16 oneDNN multiplies, and keeps the code that it made for each shape and more: so much in every model that
// was measured (docs/performance.md).
constexpr int64_t kMultiplierBytes = int64_t{100} << 20;

}  // namespace

std::string describe(const MemoryGroups& groups) {
  const std::pair<const char*, int64_t> named[]{{"weights", groups.weights},       {"optimizer", groups.optimizer},
                                                {"gradients", groups.gradients},   {"activations", groups.activations},
                                                {"layer at work", groups.working}, {"loss", groups.loss},
                                                {"workspaces", groups.other}};
  std::string text;
  for (const auto& [name, bytes] : named) {
    if (bytes > 0) text += std::string(text.empty() ? "" : ", ") + name + " " + human_bytes(bytes);
  }
  return text;
}

std::string describe(const MemoryPlan& plan) {
  std::string text = hici::detail::concat("activations ", nn::describe(plan.policies, plan.policies.size()), "; peak ",
                                          human_bytes(plan.peak.groups.total()), " (", plan.peak.name, ")");
  if (plan.host > 0) text += ", host memory " + human_bytes(plan.host);
  return text;
}

std::string describe_process(const PlanProblem& problem, const MemoryPlan& plan, int64_t resident) {
  const int64_t total = plan.peak.groups.total() + kProcessBytes;
  std::string text = human_bytes(total) + " in all with the process's own";
  if (at::elementSize(problem.dtype) < 4)
    text += "; not counted: some " + human_bytes(kMultiplierBytes) + " of oneDNN, which multiplies in narrow types";
  if (resident > total) text += "; reading model and data has taken " + human_bytes(resident);
  return text;
}

std::string describe_what_fits(const PlanProblem& problem, std::optional<nn::ActivationPolicy> choice, int64_t budget) {
  std::string text = "what fits: ";
  for (const Alternative& alternative : alternatives_that_fit(problem, choice, budget))
    text += alternative.options + " (" + human_bytes(alternative.plan.peak.groups.total()) + "), or ";
  return text + (problem.on_gpu ? "a GPU with " : "memory of ") + human_bytes(least_memory(problem)) + " or more";
}

}  // namespace hici::plan
