// SPDX-License-Identifier: Apache-2.0
#include "hici/plan/step_plan.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/log.h"
#include "hici/base/memory.h"
#include "hici/device/device.h"
#include "hici/plan/plan_text.h"

namespace hici::plan {
namespace {

using nn::ActivationPolicy;

// "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has ..." without what follows the size.
std::string_view first_sentences(std::string_view what) {
  const size_t tried = what.find("Tried to allocate");
  if (tried == std::string_view::npos) return what.substr(0, what.find('\n'));
  return what.substr(tried, what.find(". ", tried) - tried);
}

// A policy for all layers that takes clearly less than the one that failed, the fastest first.
std::string leaner_setting(const PlannedStep& planned) {
  const auto failed = static_cast<double>(planned.plan.peak.groups.total());
  for (const ActivationPolicy policy :
       {ActivationPolicy::kRecomputeMlp, ActivationPolicy::kRecompute, ActivationPolicy::kOffload}) {
    const int64_t peak = plan_memory(planned.problem, everywhere(planned.problem, policy)).peak.groups.total();
    if (static_cast<double>(peak) > (1 - kMargin) * failed) continue;
    return hici::detail::concat("use `activation_policy` ", name_of(policy), " (planned peak ", human_bytes(peak), ")");
  }
  return describe_what_fits(planned.problem, {}, static_cast<int64_t>((1 - kMargin) * failed));
}

}  // namespace

std::optional<int64_t> memory_budget(at::Device device) {
  const std::optional<int64_t> available = device::available_memory(device);
  if (!available) return std::nullopt;
  return static_cast<int64_t>((1 - kMargin) * static_cast<double>(*available));
}

PlannedStep plan_step(PlanProblem problem, std::optional<ActivationPolicy> choice, at::Device device) {
  return plan_step(std::move(problem), choice, memory_budget(device));
}

PlannedStep plan_step(PlanProblem problem, std::optional<ActivationPolicy> choice, std::optional<int64_t> budget) {
  PlannedStep step{std::move(problem), {}, budget, choice};
  std::optional<MemoryPlan> fitting;
  if (!choice && step.budget) fitting = fit_memory(step.problem, *step.budget);
  const ActivationPolicy fallback = step.budget ? ActivationPolicy::kOffload : ActivationPolicy::kKeep;
  step.plan =
      fitting ? std::move(*fitting) : plan_memory(step.problem, everywhere(step.problem, choice.value_or(fallback)));
  return step;
}

void announce_plan(const PlannedStep& step) {
  const int64_t peak = step.plan.peak.groups.total();
  HICI_CHECK(step.choice || step.fits(), "memory: a step takes at least ", human_bytes(peak), ", and there are ",
             human_bytes(step.budget.value_or(0)), "; ",
             describe_what_fits(step.problem, step.choice, step.budget.value_or(0)));
  const std::string of_memory = step.budget ? " of " + human_bytes(*step.budget)
                                            : ", " + describe_process(step.problem, step.plan, peak_resident_bytes());
  log_info("memory plan: ", describe(step.plan), of_memory,
           step.budget && step.fits() ? ", left " + human_bytes(*step.budget - peak) : std::string());
  log_info("  ", describe(step.plan.peak.groups));
  if (step.fits()) return;
  log_warning("memory: the plan does not fit; ", describe_what_fits(step.problem, step.choice, *step.budget));
}

std::string describe_out_of_memory(const PlannedStep& planned, int64_t step, std::string_view what) {
  return hici::detail::concat("step ", step, ": out of memory: ", first_sentences(what),
                              "; planned: ", describe(planned.plan), "; ", leaner_setting(planned));
}

}  // namespace hici::plan
