// SPDX-License-Identifier: Apache-2.0
#include "hici/plan/memory_plan.h"

#include "hici/nn/offload.h"
#include "hici/ops/linear_cross_entropy.h"
#include "hici/optim/host_state.h"
#include "hici/ops/nf4.h"

#include <algorithm>

namespace hici::plan {
namespace {

using nn::ActivationPolicy;

// The part of the sequence that is in one forward.
StepShape shape_in_forward(const PlanProblem& problem) {
  StepShape shape = problem.shape;
  if (problem.stream_segments) {
    shape.tokens = shape.segment_length;
  } else if (problem.mesh.segments > 1) {
    shape.tokens = problem.rounds() * shape.segment_length;
  }
  return shape;
}

class StepMemory {
 public:
  explicit StepMemory(const PlanProblem& problem)
      : p_(problem),
        types_{problem.dtype, problem.on_gpu, problem.whole_scores, problem.parameters.trains_mlp},
        shape_(shape_in_forward(problem)),
        layer_(count_layer_bytes(problem.model, shape_, types_)),
        row_(layer_.input),
        e_(types_.element()),
        w_(types_.wide()),
        is_narrow_(e_ < w_) {
    const int64_t trained = p_.parameters.trained;
    // Without an optimizer the sums are never freed.
    // Those of several processes have their place from the start.
    const bool stays = p_.accumulation_steps > 1 || p_.stream_segments || !p_.has_optimizer || p_.mesh.world() > 1;
    pending_gradients_ = stays ? trained * w_ : 0;
    const int64_t others = p_.parameters.all - p_.parameters.frozen_matrices;
    fixed_.weights = others * e_ + (is_placed() ? frozen_on_device() : frozen());
    fixed_.optimizer = offloads_optimizer() ? staging_bytes() : p_.optimizer_bytes();
    fixed_.other = (p_.on_gpu ? kWorkspaceBytes : 0) + unpacked_bytes();
    fixed_.activations = token_bytes() + rotary_bytes() + (p_.on_gpu ? 0 : state_bytes());
  }

  int64_t num_layers() const { return p_.model.num_hidden_layers; }

  MemoryPlan plan(const nn::ActivationPolicies& policies) const {
    MemoryPlan plan;
    for (size_t i = 0; i < static_cast<size_t>(num_layers()); ++i)
      plan.policies.push_back(policy_of_layer(policies, i));
    for (const ActivationPolicy policy : plan.policies) plan.kept_by_layers += kept(policy);
    plan.kept = plan.kept_by_layers + rotary_bytes() + last_norm_bytes();
    plan.host = p_.on_gpu ? state_bytes() : 0;
    if (offloads_weights())
      plan.host += num_layers() * nn::pinned_bytes(frozen() / num_layers() / p_.weight_processes());
    if (offloads_optimizer())
      plan.host += optimizer_kinds() * nn::pinned_bytes(p_.optimizer_bytes() / optimizer_kinds());
    for (const ActivationPolicy policy : plan.policies) {
      if (policy == ActivationPolicy::kOffload && p_.on_gpu) plan.host += nn::pinned_bytes(row_);
    }
    plan.peak = peak_phase(plan.policies, plan.kept_by_layers);
    return plan;
  }

 private:
  int64_t kept(ActivationPolicy policy) const {
    if (policy == ActivationPolicy::kKeep) return layer_.all();
    if (policy == ActivationPolicy::kRecomputeMlp) return layer_.attention + layer_.middle;
    return policy == ActivationPolicy::kOffload && p_.on_gpu ? 0 : layer_.input;
  }

  // Frozen matrices of the layers: all, and what of them is on the device (nn/frozen_weights.h).
  int64_t frozen() const { return p_.frozen_bytes(); }
  bool offloads_weights() const { return p_.sharding.offload_weights && p_.on_gpu; }
  bool is_placed() const { return p_.weight_processes() > 1 || offloads_weights(); }
  int64_t frozen_on_device() const {
    return 2 * frozen() / num_layers() + (offloads_weights() ? 0 : frozen() / p_.weight_processes());
  }

  // The matrix that a product has unpacked: the largest of a layer.
  int64_t unpacked_bytes() const {
    if (!config::is_nf4(p_.base_format) || p_.parameters.frozen_matrices == 0) return 0;
    const int64_t queries = p_.model.num_attention_heads * p_.model.head_dim;
    return p_.model.hidden_size * std::max(p_.model.intermediate_size, queries) * e_;
  }

  // Master weights and moments, or only moments (optim/host_state.h).
  int64_t optimizer_kinds() const { return is_narrow_ ? 3 : 2; }
  bool offloads_optimizer() const { return p_.sharding.offload_optimizer && p_.on_gpu && p_.has_optimizer; }
  int64_t staging_bytes() const {
    const int64_t piece = optim::HostState::kPieceElements * optimizer_kinds() * w_;
    return optim::HostState::kPiecesOnDevice * std::min(piece, p_.optimizer_bytes());
  }

  // Token ids and labels of this process, on the device as a whole.
  int64_t token_bytes() const {
    const int64_t tokens = p_.mesh.segments > 1 ? p_.rounds() * p_.shape.segment_length : p_.shape.tokens;
    return 16 * p_.shape.batch * tokens;
  }
  int64_t rotary_bytes() const { return shape_.tokens * p_.model.head_dim * w_; }
  // Its input and a number for each row.
  int64_t last_norm_bytes() const { return row_ + row_ / (p_.model.hidden_size * e_) * w_; }

  // States between streamed segments, in pinned host memory of a GPU; see segment_streaming.h and slot_state.h.
  int64_t state_bytes() const {
    if (!p_.stream_segments || !has_hierarchy(p_.shape)) return 0;
    const config::HiciConfig& h = *p_.shape.hici;
    const int64_t rows = (p_.rounds() - 1) * num_layers() * p_.shape.batch;
    const auto held = [&](int64_t bytes) { return p_.on_gpu ? nn::pinned_bytes(bytes) : bytes; };
    int64_t bytes = 0;
    if (h.use_global_integrator) bytes += held(4 * rows * p_.model.hidden_size * w_);
    if (h.remembers_previous()) bytes += held(h.num_local_slots * rows * p_.model.hidden_size * e_);
    return bytes;
  }

  // Gradients when those of `made` parameters have come in this backward pass, beside the sums of those before it.
  int64_t gradients(int64_t made) const { return pending_gradients_ + made * e_; }

  Phase loss_phase(int64_t kept_by_layers) const {
    Phase phase{"loss", fixed_};
    const int64_t rows =
        std::min(p_.shape.batch * shape_.tokens, ops::loss_chunk_tokens(p_.on_gpu, p_.model.vocab_size));
    const int64_t logits = rows * p_.model.vocab_size;
    phase.groups.activations += kept_by_layers + last_norm_bytes();
    phase.groups.gradients = pending_gradients_;
    // On a GPU one buffer from logits to gradient; on a CPU in the wide type, and once more in their log-sum-exp.
    phase.groups.loss = 2 * row_ + (p_.on_gpu ? logits * e_ : 2 * logits * w_);
    if (p_.parameters.trains_head) phase.groups.loss += head_elements() * (w_ + e_);
    return phase;
  }

  Phase layer_phase(const nn::ActivationPolicies& policies, size_t i, int64_t kept_before,
                    int64_t trained_behind) const {
    Phase phase{"layer " + std::to_string(i), fixed_};
    phase.groups.activations += kept_before;
    phase.groups.gradients = gradients(trained_behind);
    // A recomputed layer holds its output and that output's gradient until its backward pass is done.
    const bool recomputes_mlp = policies[i] == ActivationPolicy::kRecomputeMlp;
    const int64_t result = policies[i] == ActivationPolicy::kKeep ? 0 : layer_.output;
    const int64_t mlp = layer_.all() + layer_.mlp_backward + result;
    const int64_t attention = layer_.attention + layer_.attention_backward + (recomputes_mlp ? 0 : 2 * result);
    phase.groups.working = std::max(mlp, attention);
    const bool fetches = i > 0 && policies[i - 1] == ActivationPolicy::kOffload && p_.on_gpu;
    if (fetches) phase.groups.working += row_;
    return phase;
  }

  // Both gradients of an embedding that is the head meet here.
  Phase embedding_phase() const {
    Phase phase{"embedding", fixed_};
    phase.groups.gradients = gradients(p_.parameters.trained);
    phase.groups.working = 2 * row_;
    if (p_.parameters.trains_embedding && p_.model.tie_word_embeddings)
      phase.groups.working += p_.parameters.embedding * e_;
    return phase;
  }

  Phase gradient_cast_phase() const {
    Phase phase{"collection", fixed_};
    // The first gradients of a wide type become the sums.
    const int64_t first_sums = is_narrow_ ? p_.parameters.embedding * w_ : 0;
    phase.groups.gradients = p_.parameters.trained * e_ + (pending_gradients_ > 0 ? pending_gradients_ : first_sums);
    return phase;
  }

  Phase optimizer_phase() const {
    Phase phase{"optimizer", fixed_};
    phase.groups.gradients = p_.parameters.trained * w_;
    return phase;
  }

  int64_t head_elements() const { return p_.model.vocab_size * p_.model.hidden_size; }

  Phase peak_phase(const nn::ActivationPolicies& policies, int64_t kept_by_layers) const {
    Phase largest = loss_phase(kept_by_layers);
    auto consider = [&](Phase phase) {
      if (phase.groups.total() > largest.groups.total()) largest = std::move(phase);
    };
    const bool is_tied = p_.parameters.trains_head && p_.model.tie_word_embeddings;
    int64_t kept_before = kept_by_layers;
    int64_t behind = p_.parameters.trained_of_end + (is_tied ? head_elements() : 0);
    for (size_t i = policies.size(); i-- > 0;) {
      kept_before -= kept(policies[i]);
      consider(layer_phase(policies, i, kept_before, behind));
      behind += p_.parameters.trained_of_layer[i];
    }
    for (const Phase& phase : {embedding_phase(), gradient_cast_phase(), optimizer_phase()}) consider(phase);
    return largest;
  }

  const PlanProblem& p_;
  LayerTypes types_;
  StepShape shape_;
  LayerBytes layer_;
  int64_t row_, e_, w_;  // a tensor [n, C]; bytes of a number
  bool is_narrow_;
  int64_t pending_gradients_ = 0;
  MemoryGroups fixed_;
};

struct Mix {
  int64_t offload = 0, recompute = 0, recompute_mlp = 0, keep = 0;

  nn::ActivationPolicies policies() const {
    nn::ActivationPolicies list;
    auto add = [&](int64_t count, ActivationPolicy policy) {
      list.insert(list.end(), static_cast<size_t>(count), policy);
    };
    add(offload, ActivationPolicy::kOffload);
    add(recompute, ActivationPolicy::kRecompute);
    add(recompute_mlp, ActivationPolicy::kRecomputeMlp);
    add(keep, ActivationPolicy::kKeep);
    return list;
  }
};

// Of a layer's forward.
double share_of_mlp(const PlanProblem& problem) {
  const PartFlops forward = count_step_flops(problem.model, problem.shape).forward;
  const double mlp = 6.0 * static_cast<double>(problem.shape.batch * problem.shape.tokens) *
                     static_cast<double>(problem.model.hidden_size) *
                     static_cast<double>(problem.model.intermediate_size);
  return mlp * static_cast<double>(problem.model.num_hidden_layers) / (forward.total() - forward.loss);
}

}  // namespace

double recomputed_share(const PlanProblem& problem, const nn::ActivationPolicies& policies) {
  double layers = 0;
  for (const ActivationPolicy policy : policies) {
    if (policy == ActivationPolicy::kRecomputeMlp) layers += share_of_mlp(problem);
    if (policy == ActivationPolicy::kRecompute || policy == ActivationPolicy::kOffload) layers += 1;
  }
  return layers / static_cast<double>(problem.model.num_hidden_layers);
}

int64_t PlanProblem::num_segments() const {
  const bool is_cut = shape.segment_length > 0 && shape.attention != nn::AttentionKind::kFull;
  return is_cut ? shape.tokens / shape.segment_length : 1;
}

int64_t PlanProblem::frozen_bytes() const {
  const int64_t count = parameters.frozen_matrices, blocks = count / ops::kNf4Block;
  switch (base_format) {
    case config::BaseFormat::kModel:
      return count * LayerTypes{dtype}.element();
    case config::BaseFormat::kFp8:
      return 2 * count;  // with the transposes; the scales are one number in a row
    case config::BaseFormat::kNf4:
      return count / 2 + blocks * 4;
    case config::BaseFormat::kNf4Double:
      return count / 2 + blocks + blocks / ops::kNf4ScaleGroup * 4;
  }
  return 0;
}

int64_t PlanProblem::optimizer_bytes() const {
  if (!has_optimizer) return 0;
  const LayerTypes types{dtype};
  const int64_t kinds = types.element() < types.wide() ? 3 : 2;
  const int64_t shards = sharding.kind == config::ShardKind::kNone ? 1 : mesh.world();
  return parameters.trained * kinds * types.wide() / shards;
}

int64_t budget_of_memory(int64_t bytes, bool on_gpu) {
  return static_cast<int64_t>((1 - kMargin) * static_cast<double>(bytes - process_bytes(on_gpu)));
}

int64_t memory_for_budget(int64_t tensor_bytes, bool on_gpu) {
  return static_cast<int64_t>(static_cast<double>(tensor_bytes) / (1 - kMargin)) + process_bytes(on_gpu);
}

nn::ActivationPolicies everywhere(const PlanProblem& problem, ActivationPolicy policy) {
  return nn::ActivationPolicies(static_cast<size_t>(problem.model.num_hidden_layers), policy);
}

MemoryPlan plan_memory(const PlanProblem& problem, const nn::ActivationPolicies& policies) {
  return StepMemory(problem).plan(policies);
}

std::optional<MemoryPlan> fit_memory(const PlanProblem& problem, int64_t budget) {
  const StepMemory memory(problem);
  const int64_t layers = memory.num_layers();
  const double mlp_cost = share_of_mlp(problem);
  std::optional<MemoryPlan> best;
  double best_cost = 0;
  for (int64_t keep = 0; keep <= layers; ++keep) {
    for (int64_t mlp = 0; keep + mlp <= layers; ++mlp) {
      const int64_t whole = layers - keep - mlp;
      const double cost = mlp_cost * static_cast<double>(mlp) + static_cast<double>(whole);
      if (best && cost >= best_cost) continue;
      MemoryPlan plan = memory.plan(Mix{0, whole, mlp, keep}.policies());
      if (plan.peak.groups.total() > budget) continue;
      best = std::move(plan);
      best_cost = cost;
    }
  }
  for (int64_t offload = 1; !best && problem.on_gpu && offload <= layers; ++offload) {
    const int64_t keep = std::min<int64_t>(1, layers - offload);  // the last layer, which is worked on first
    MemoryPlan plan = memory.plan(Mix{offload, layers - offload - keep, 0, keep}.policies());
    if (plan.peak.groups.total() <= budget) best = std::move(plan);
  }
  return best;
}

}  // namespace hici::plan
