// SPDX-License-Identifier: Apache-2.0
#include "hici/plan/plan_alternatives.h"

#include "hici/base/error.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace hici::plan {
namespace {

using nn::ActivationPolicy;

constexpr int64_t kShortestSegment = 256;  // tokens; below, slots cost more than they save

PlanProblem with_tokens(PlanProblem problem, int64_t tokens) {
  if (problem.shape.segment_length > 0)
    problem.shape.segment_length = tokens * problem.shape.segment_length / problem.shape.tokens;
  problem.shape.tokens = tokens;
  return problem;
}

PlanProblem with_trained(PlanProblem problem, optim::TrainableSelection selection) {
  problem.parameters = count_parameters(problem.model, problem.shape.hici, problem.lora, selection);
  problem.shape.trains_head = problem.parameters.trains_head;
  problem.shape.lora_rank = selection.low_rank ? problem.lora.rank : 0;
  problem.trainable = std::move(selection);
  return problem;
}

std::string joined(const std::string& options, const std::string& more) {
  return options.empty() ? more : options + " " + more;
}

std::string one_sequence(int64_t accumulation_steps) {
  return detail::concat("`per_device_train_batch_size` 1 `gradient_accumulation_steps` ", accumulation_steps);
}

class Search {
 public:
  Search(const PlanProblem& problem, std::optional<ActivationPolicy> choice, int64_t budget)
      : problem_(problem), choice_(choice), budget_(budget) {}

  std::vector<Alternative> run() {
    try_policies();
    try_placement();
    try_one_sequence();
    try_streaming(problem_, "");
    try_fewer_trained();
    try_shorter();
    if (found_.empty()) try_all_together();
    return std::move(found_);
  }

 private:
  std::optional<MemoryPlan> fit(const PlanProblem& problem) const {
    if (!choice_) return fit_memory(problem, budget_);
    MemoryPlan plan = plan_memory(problem, everywhere(problem, *choice_));
    return plan.peak.groups.total() <= budget_ ? std::optional(std::move(plan)) : std::nullopt;
  }

  bool add_if_fits(const std::string& options, const PlanProblem& problem) {
    std::optional<MemoryPlan> plan = fit(problem);
    if (plan) found_.push_back({options, std::move(*plan)});
    return plan.has_value();
  }

  // Frozen weights cut among the processes, or what waits in host memory; each alone, then together.
  void try_placement() {
    if (!problem_.on_gpu) return;
    const bool has_frozen = problem_.parameters.frozen_matrices > 0;
    const bool can_cut = has_frozen && problem_.mesh.world() > 1 && problem_.sharding.kind != config::ShardKind::kFull;
    const bool weights = problem_.sharding.offload_weights, state = problem_.sharding.offload_optimizer;
    const bool can_offload = has_frozen && !weights;
    // Of several processes each holds, also on the host, its part alone.
    if (can_cut && try_placed(true, weights, state)) return;
    if (can_offload && try_placed(can_cut, true, state)) return;
    if (!state && try_placed(can_cut, weights, true)) return;
    if (can_offload && !state) try_placed(can_cut, true, true);
  }

  bool try_placed(bool cuts, bool offloads_weights, bool offloads_state) {
    PlanProblem placed = problem_;
    std::string options;
    if (cuts) {
      placed.sharding.kind = config::ShardKind::kFull;
      options = "`shard` full";
    }
    placed.sharding.offload_weights = offloads_weights;
    placed.sharding.offload_optimizer = offloads_state;
    std::string items = offloads_weights ? "weights" : "";
    if (offloads_state) items += items.empty() ? "optimizer" : ",optimizer";
    if (!items.empty()) options = joined(options, "`offload` " + items);
    return add_if_fits(options, placed);
  }

  // The fastest one; the next leaner one only costs time.
  void try_policies() {
    if (!choice_) return;
    if (auto plan = fit_memory(problem_, budget_)) found_.push_back({"`activation_policy` auto", std::move(*plan)});
    for (const ActivationPolicy policy :
         {ActivationPolicy::kRecomputeMlp, ActivationPolicy::kRecompute, ActivationPolicy::kOffload}) {
      if (policy == *choice_ || (policy == ActivationPolicy::kOffload && !problem_.on_gpu)) continue;
      MemoryPlan plan = plan_memory(problem_, everywhere(problem_, policy));
      if (plan.peak.groups.total() > budget_) continue;
      found_.push_back({std::string("`activation_policy` ") + name_of(policy), std::move(plan)});
      return;
    }
  }

  void try_one_sequence() {
    if (problem_.shape.batch == 1) return;
    PlanProblem single = problem_;
    single.shape.batch = 1;
    single.accumulation_steps *= problem_.shape.batch;
    add_if_fits(one_sequence(single.accumulation_steps), single);
  }

  // As few segments as fit: each more is another pass of small work.
  void try_streaming(const PlanProblem& start, std::string options) {
    if (!has_hierarchy(start.shape) || start.num_segments() == 1) return;
    PlanProblem streamed = start;
    if (!start.stream_segments) {
      streamed.stream_segments = true;
      options = joined(options, "`stream_segments` True");
      if (!problem_.shape.hici->is_streamable()) {
        streamed.shape.hici->causal_mode = config::CausalMode::kCausalGi;
        options = joined(options, "`causal_mode` causal_gi");
      }
      if (add_if_fits(options, streamed)) return;
    }
    int64_t& length = streamed.shape.segment_length;
    while (length % 2 == 0 && length / 2 >= kShortestSegment) {
      length /= 2;
      const std::string chunks = detail::concat("`num_chunks` ", streamed.shape.tokens / length);
      if (add_if_fits(joined(options, chunks), streamed)) return;
    }
  }

  void try_fewer_trained() {
    optim::TrainableSelection selection = problem_.trainable;
    if (!selection.low_rank) {
      selection.low_rank = true;
      add_if_fits("`low_rank_training` True", with_trained(problem_, selection));
      return;
    }
    // The largest part goes first, until one is left.
    while (selection.name_parts.size() > 1) {
      size_t largest = 0;
      int64_t least_trained = problem_.parameters.all;
      for (size_t i = 0; i < selection.name_parts.size(); ++i) {
        const int64_t trained = with_trained(problem_, without(selection, i)).parameters.trained;
        if (trained < least_trained) std::tie(largest, least_trained) = std::pair(i, trained);
      }
      selection = without(selection, largest);
      std::string options;
      for (const std::string& part : selection.name_parts)
        options += (options.empty() ? "`trainable_params` " : ",") + part;
      if (add_if_fits(options, with_trained(problem_, selection))) return;
    }
  }

  // Where no single change is enough: one part trained beside LoRA, one sequence, one segment at a time.
  void try_all_together() {
    if (!problem_.trainable.low_rank || problem_.trainable.name_parts.empty()) return;
    optim::TrainableSelection selection = problem_.trainable;
    std::optional<PlanProblem> leanest;
    for (const std::string& part : problem_.trainable.name_parts) {
      selection.name_parts = {part};
      PlanProblem trained = with_trained(problem_, selection);
      if (!leanest || trained.parameters.trained < leanest->parameters.trained) leanest = std::move(trained);
    }
    std::string options = "`trainable_params` " + leanest->trainable.name_parts.front();
    if (leanest->shape.batch > 1) {
      leanest->accumulation_steps *= leanest->shape.batch;
      leanest->shape.batch = 1;
      options = joined(options, one_sequence(leanest->accumulation_steps));
    }
    try_streaming(*leanest, options);
  }

  static optim::TrainableSelection without(optim::TrainableSelection selection, size_t part) {
    selection.name_parts.erase(selection.name_parts.begin() + static_cast<std::ptrdiff_t>(part));
    return selection;
  }

  // The longest one, in steps of 256 tokens for each segment.
  void try_shorter() {
    const int64_t step = 256 * problem_.num_segments();
    int64_t fits = 0, beyond = problem_.shape.tokens / step + 1;
    while (fits + 1 < beyond) {
      const int64_t middle = (fits + beyond) / 2;
      (fit(with_tokens(problem_, middle * step)) ? fits : beyond) = middle;
    }
    const int64_t longest = std::min(fits * step, problem_.shape.tokens);
    if (longest > 0) add_if_fits(detail::concat("`model_max_length` ", longest), with_tokens(problem_, longest));
  }

  const PlanProblem& problem_;
  std::optional<ActivationPolicy> choice_;
  int64_t budget_;
  std::vector<Alternative> found_;
};

}  // namespace

std::vector<Alternative> alternatives_that_fit(const PlanProblem& problem, std::optional<ActivationPolicy> choice,
                                               int64_t budget) {
  return Search(problem, choice, budget).run();
}

MemoryPlan leanest_plan(const PlanProblem& problem) {
  const ActivationPolicy leanest = problem.on_gpu ? ActivationPolicy::kOffload : ActivationPolicy::kRecompute;
  return plan_memory(problem, everywhere(problem, leanest));
}

int64_t least_memory(const PlanProblem& problem) {
  return memory_for_budget(leanest_plan(problem).peak.groups.total(), problem.on_gpu);
}

}  // namespace hici::plan
