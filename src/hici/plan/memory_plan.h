// SPDX-License-Identifier: Apache-2.0
// Memory of a training step, computed before it runs, and the cheapest activation policies that fit.
//
// The peak is the largest of these phases of a step; docs/performance.md lists the tensors of each.
//   loss         the end of the forward pass: activations that layers keep, and the tensors of the loss
//   layer i      the backward pass of layer i: activations that layers before i keep, all of layer i (kept or
//                recomputed), the gradients in flight, and the parameter gradients of later layers
//   embedding    the dense gradient of the trained embedding, and all other gradients
//   collection   gradients in the model's type beside their float32 sums
//   optimizer    float32 sums, master weights and moments
// Of several processes one is planned: its segments, its part of the optimizer's state and of frozen weights, of which
// two layers are whole while they are at work.
// Counted is tensor memory, as LibTorch's allocator counts it; the driver's context is additional (kContextBytes).
#pragma once

#include "hici/config/sharding.h"
#include "hici/optim/trainable.h"
#include "hici/parallel/mesh.h"
#include "hici/plan/layer_memory.h"
#include "hici/plan/parameter_sizes.h"

#include <optional>
#include <string>
#include <vector>

namespace hici::plan {

// Memory of a card for CUDA itself, the code of its libraries and their handles, outside of the allocator.
inline constexpr int64_t kContextBytes = int64_t{640} << 20;
// Workspaces of cuBLAS on Hopper, inside the allocator: 32 MiB per handle, with one handle each for the threads of the
// forward and the backward pass. None on a CPU.
inline constexpr int64_t kWorkspaceBytes = int64_t{64} << 20;
// On a CPU: code of LibTorch and of this program, and memory of threads and libraries after their first use.
inline constexpr int64_t kProcessBytes = int64_t{152} << 20;
// kContextBytes or kProcessBytes.
constexpr int64_t process_bytes(bool on_gpu) { return on_gpu ? kContextBytes : kProcessBytes; }
// The free share of a plan: an allocator that splits blocks cannot fill a card completely.
inline constexpr double kMargin = 0.05;
// Tensor memory within a memory of `bytes`, and the memory needed for `tensor_bytes`. The difference is the process's
// own memory and the margin.
int64_t budget_of_memory(int64_t bytes, bool on_gpu);
int64_t memory_for_budget(int64_t tensor_bytes, bool on_gpu);

struct PlanProblem {
  config::ModelConfig model;
  StepShape shape;  // of the whole sequence
  at::ScalarType dtype = at::kFloat;
  bool on_gpu = true;
  bool whole_scores = false;  // no fused attention for this type and device
  bool stream_segments = false;
  int64_t accumulation_steps = 1;  // above 1, float32 sums exist during the backward pass
  bool has_optimizer = true;
  ParameterSizes parameters;
  // The selection behind `parameters`; for plans of the same step with fewer trained parameters.
  optim::TrainableSelection trainable = {};
  config::LoraConfig lora = {};
  // The processes, of which one is planned, and what they share.
  parallel::Mesh mesh = {};
  config::Sharding sharding = {};
  config::BaseFormat base_format = config::BaseFormat::kModel;

  // Of all frozen matrices of the layers, as they are stored.
  int64_t frozen_bytes() const;
  int64_t num_segments() const;  // of the whole sequence
  // Segments that one process works on, one in a round when they are streamed.
  int64_t rounds() const { return (num_segments() + mesh.segments - 1) / mesh.segments; }
  int64_t weight_processes() const { return sharding.weight_processes(mesh.world()); }
  // Master weights and moments of this process.
  int64_t optimizer_bytes() const;
};

// Bytes of one phase by purpose.
struct MemoryGroups {
  int64_t weights = 0;
  int64_t optimizer = 0;    // float32 master weights for a narrower model, two moments
  int64_t gradients = 0;    // in the model's type, and float32 sums
  int64_t activations = 0;  // kept between forward and backward, with inputs and rotary tables
  int64_t working = 0;      // of the current layer: recomputed activations, and gradients in flight
  int64_t loss = 0;         // logits of a chunk, gradient of the hidden states
  int64_t other = 0;        // workspaces

  int64_t total() const { return weights + optimizer + gradients + activations + working + loss + other; }
};

struct Phase {
  std::string name;
  MemoryGroups groups;
};

struct MemoryPlan {
  nn::ActivationPolicies policies;  // one for each layer
  Phase peak;
  int64_t kept_by_layers = 0;  // at the end of the forward pass, without inputs, rotary tables and the last norm
  int64_t kept = 0;            // with them
  int64_t host = 0;            // pinned memory: offloaded inputs, states between streamed segments
};

// One policy for all layers.
nn::ActivationPolicies everywhere(const PlanProblem& problem, nn::ActivationPolicy policy);

// The plan with these policies (empty: keep).
MemoryPlan plan_memory(const PlanProblem& problem, const nn::ActivationPolicies& policies);

// The fastest mix with a peak of at most `budget` bytes: minimal recompute, of MLPs first, then of layers. Inputs are
// offloaded only if nothing else fits. Layers that keep more are last, because their activations are freed first. The
// last layer needs all its activations at once anyway: its backward pass is the first. nullopt: nothing fits.
std::optional<MemoryPlan> fit_memory(const PlanProblem& problem, int64_t budget);

// The share of the layers' forward that is recomputed in the backward pass: 0 with keep, 1 with recompute.
double recomputed_share(const PlanProblem& problem, const nn::ActivationPolicies& policies);

}  // namespace hici::plan
