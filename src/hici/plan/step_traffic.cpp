// SPDX-License-Identifier: Apache-2.0
#include "hici/plan/step_traffic.h"

#include "hici/ops/slot_statistics.h"

#include <algorithm>

namespace hici::plan {
namespace {

using config::ShardKind;

double as_double(int64_t value) { return static_cast<double>(value); }

// Of what a collective moves over n processes, the part that one of them sends.
double sent_share(int64_t processes) { return as_double(processes - 1) / as_double(processes); }

double element(const PlanProblem& p) { return as_double(static_cast<int64_t>(c10::elementSize(p.dtype))); }

// Times that a layer goes forward, and backward, in a step: with streaming once for each round of segments.
struct Passes {
  double forward, backward;
};

Passes passes_of(const PlanProblem& p) {
  const double rounds = p.stream_segments ? as_double(p.rounds()) : 1;
  const double states = p.stream_segments && has_hierarchy(p.shape) ? rounds - 1 : 0;
  return {as_double(p.accumulation_steps) * (rounds + states), as_double(p.accumulation_steps) * rounds};
}

// Times that a layer's frozen weights come to a buffer. Two layers are there still when the pass turns round; a forward
// pass after another one finds none of its first layers.
double fills_of(const PlanProblem& p) {
  const Passes passes = passes_of(p);
  const double turning = std::max(0.0, static_cast<double>(p.model.num_hidden_layers) - 2);
  return 2 * passes.backward * turning +
         (passes.forward - passes.backward) * static_cast<double>(p.model.num_hidden_layers);
}

double layers(const PlanProblem& p) { return as_double(p.model.num_hidden_layers); }

// Of one layer's frozen matrices.
double frozen_bytes(const PlanProblem& p) { return as_double(p.frozen_bytes()) / layers(p); }

// Bytes of one exchange in a layer, in one direction, over the processes of a sequence.
double slot_bytes(const PlanProblem& p) {
  const config::HiciConfig& h = *p.shape.hici;
  const double width = as_double(p.model.hidden_size), batch = as_double(p.shape.batch);
  const double processes = as_double(p.mesh.segments);
  const double slots = batch * as_double(h.num_local_slots) * width * element(p);
  if (!p.stream_segments) return slots * as_double(p.num_segments());
  const double sums = h.use_global_integrator ? 4 * batch * width * 4 : 0;
  return processes * (sums + (h.remembers_previous() ? slots : 0));
}

void add_slots(const PlanProblem& p, const nn::ActivationPolicies& policies, StepTraffic& traffic) {
  if (p.mesh.segments == 1 || !has_hierarchy(p.shape)) return;
  double recomputed = 0;
  for (const nn::ActivationPolicy policy : policies)
    recomputed += policy == nn::ActivationPolicy::kRecompute || policy == nn::ActivationPolicy::kOffload ? 1 : 0;
  const Passes passes = passes_of(p);
  traffic.slot_calls = passes.forward * layers(p) + passes.backward * (layers(p) + recomputed);
  traffic.slots = traffic.slot_calls * slot_bytes(p) * sent_share(p.mesh.segments);
}

}  // namespace

StepTraffic count_step_traffic(const PlanProblem& p, const nn::ActivationPolicies& policies) {
  StepTraffic traffic;
  const int64_t world = p.mesh.world();
  const double trained = as_double(p.parameters.trained), share = sent_share(world);
  if (p.sharding.kind == ShardKind::kNone) {
    traffic.gradients = 2 * share * 4 * trained;
  } else {
    traffic.gradients = share * 4 * trained;
    traffic.weights = share * element(p) * trained;
  }
  const double fills = fills_of(p);
  traffic.frozen = fills * frozen_bytes(p) * sent_share(p.weight_processes());
  if (p.sharding.offload_weights) traffic.host = fills * frozen_bytes(p) / as_double(p.weight_processes());
  if (p.sharding.offload_optimizer) traffic.host += as_double(p.optimizer_bytes());
  add_slots(p, policies, traffic);
  return traffic;
}

StepPrediction predict_step(const PlanProblem& p, const nn::ActivationPolicies& policies, const LinkRates& rates) {
  const StepTraffic traffic = count_step_traffic(p, policies);
  const StepFlops flops = count_step_flops(p.model, p.shape);
  const Passes passes = passes_of(p);
  const double per_process = as_double(p.accumulation_steps) / as_double(p.mesh.segments);
  const double states = passes.forward / passes.backward - 1;
  const double executed = flops.model() + (recomputed_share(p, policies) + states) * flops.recomputation();
  StepPrediction prediction;
  prediction.compute_seconds = executed * per_process / rates.flops_per_second;
  // Weights come while the layer before is at work: what takes longer than that shows. A forward pass counts as one of
  // three parts of a step.
  const double fill_seconds =
      frozen_bytes(p) * sent_share(p.weight_processes()) / rates.group_bytes_per_second +
      (p.sharding.offload_weights ? frozen_bytes(p) / as_double(p.weight_processes()) / rates.host_bytes_per_second
                                  : 0);
  const double layer_seconds =
      flops.forward.total() * per_process / rates.flops_per_second / layers(p) / passes.backward;
  prediction.exposed_seconds += fills_of(p) * std::max(0.0, fill_seconds - layer_seconds);
  prediction.exposed_seconds += (traffic.gradients + traffic.weights) / rates.bytes_per_second;
  if (p.sharding.offload_optimizer)
    prediction.exposed_seconds += as_double(p.optimizer_bytes()) / rates.host_bytes_per_second;
  prediction.exposed_seconds += traffic.slots / rates.bytes_per_second + traffic.slot_calls * rates.call_seconds;
  return prediction;
}

}  // namespace hici::plan
