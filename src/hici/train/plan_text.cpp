// SPDX-License-Identifier: Apache-2.0
#include "hici/train/plan_text.h"

#include "hici/base/error.h"
#include "hici/base/human.h"

#include <algorithm>
#include <utility>

namespace hici::train {
namespace {

PlanProblem with_tokens(PlanProblem problem, int64_t tokens) {
  if (problem.shape.segment_length > 0)
    problem.shape.segment_length = tokens * problem.shape.segment_length / problem.shape.tokens;
  problem.shape.tokens = tokens;
  return problem;
}

// The longest sequence that fits, in steps of 256 tokens for each segment; 0 when none does.
int64_t longest_sequence(const PlanProblem& problem, int64_t budget) {
  const int64_t segments = problem.shape.segment_length > 0 ? problem.shape.tokens / problem.shape.segment_length : 1;
  const int64_t step = 256 * segments;
  int64_t fits = 0, beyond = problem.shape.tokens / step + 1;
  while (fits + 1 < beyond) {
    const int64_t middle = (fits + beyond) / 2;
    (fit_memory(with_tokens(problem, middle * step), budget) ? fits : beyond) = middle;
  }
  return fits * step;
}

bool can_stream(const PlanProblem& problem) {
  return !problem.stream_segments && has_hierarchy(problem.shape) && problem.shape.hici->is_streamable();
}

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

std::string describe_what_fits(const PlanProblem& problem, int64_t budget) {
  std::string text;
  auto add = [&](const auto&... parts) {
    text += hici::detail::concat(text.empty() ? "what fits: " : ", or ", parts...);
  };
  const int64_t longest = std::min(longest_sequence(problem, budget), problem.shape.tokens);
  if (longest > 0) add("--model_max_length ", longest);
  if (can_stream(problem)) {
    PlanProblem streamed = problem;
    streamed.stream_segments = true;
    if (fit_memory(streamed, budget)) add("--stream_segments True");
  }
  if (problem.shape.batch > 1) {
    PlanProblem single = problem;
    single.shape.batch = 1;
    if (fit_memory(single, budget)) add("--per_device_train_batch_size 1");
  }
  const nn::ActivationPolicies all(static_cast<size_t>(problem.model.num_hidden_layers),
                                   nn::ActivationPolicy::kOffload);
  const int64_t least = plan_memory(problem, all).peak.groups.total();
  add("a GPU with ", human_bytes(static_cast<int64_t>(static_cast<double>(least + kContextBytes) / (1 - kMargin))),
      " or more");
  return text;
}

}  // namespace hici::train
