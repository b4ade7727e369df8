// SPDX-License-Identifier: Apache-2.0
// How much memory a training step takes, counted before it runs, and the cheapest activation policies that fit.
//
// The peak is the largest over these phases of a step; docs/performance.md says what each holds.
//   loss         the end of the forward pass: what the layers keep, and the loss's own tensors
//   layer i      the backward pass of layer i: what the layers before it keep, all of layer i (kept or recomputed), the
//                gradients in flight, and those of the parameters behind it
//   embedding    the dense gradient of the trained embedding, with all other gradients there
//   collection   gradients in the model's type beside their float32 sums
//   optimizer    float32 sums, master weights and moments
// Counted is what tensors take, as LibTorch's allocator counts; the driver's context comes on top (kContextBytes).
#pragma once

#include "hici/optim/trainable.h"
#include "hici/plan/layer_memory.h"
#include "hici/plan/parameter_sizes.h"

#include <optional>
#include <string>
#include <vector>

namespace hici::plan {

// What a process takes of a card for CUDA itself, its libraries' code and their handles, outside of the allocator.
inline constexpr int64_t kContextBytes = int64_t{640} << 20;
// Workspaces of cuBLAS on Hopper inside the allocator: 32 MiB for each handle, one of the forward and one of the
// backward pass's thread. None on a CPU.
inline constexpr int64_t kWorkspaceBytes = int64_t{64} << 20;
// On a CPU: LibTorch's code and this program's, and what its threads and libraries take at their first work.
inline constexpr int64_t kProcessBytes = int64_t{152} << 20;
// The one of the two that counts.
constexpr int64_t process_bytes(bool on_gpu) { return on_gpu ? kContextBytes : kProcessBytes; }
// What a plan leaves free: an allocator that splits blocks does not fill a card to the last one.
inline constexpr double kMargin = 0.05;
// What tensors may take of a memory of `bytes`, and the memory in which they may take `tensor_bytes`: what the process
// takes for itself and the margin are off.
int64_t budget_of_memory(int64_t bytes, bool on_gpu);
int64_t memory_for_budget(int64_t tensor_bytes, bool on_gpu);

struct PlanProblem {
  config::ModelConfig model;
  StepShape shape;  // of the whole sequence
  at::ScalarType dtype = at::kFloat;
  bool on_gpu = true;
  bool whole_scores = false;  // no fused attention for this type and device
  bool stream_segments = false;
  int64_t accumulation_steps = 1;  // with several, float32 sums are there during the backward pass
  bool has_optimizer = true;
  ParameterSizes parameters;
  // What `parameters` were counted with; for plans of the same step with less that is trained.
  optim::TrainableSelection trainable = {};
  config::LoraConfig lora = {};
};

// Bytes of one phase by what they are for.
struct MemoryGroups {
  int64_t weights = 0;
  int64_t optimizer = 0;    // float32 master weights where the model is narrower, two moments
  int64_t gradients = 0;    // in the model's type, and float32 sums
  int64_t activations = 0;  // kept between forward and backward, with inputs and rotary tables
  int64_t working = 0;      // of the layer in hand: what it recomputes, and gradients in flight
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

// The plan with these policies (empty: keep).
MemoryPlan plan_memory(const PlanProblem& problem, const nn::ActivationPolicies& policies);

// The fastest mix whose peak is at most `budget` bytes: as little recomputation as possible, of MLPs first, then of
// layers; their inputs go to the host only when nothing else fits. Layers that keep more stand last: their activations
// are the first to be freed (the last one's whole anyway: its backward pass comes first). nullopt: nothing fits.
std::optional<MemoryPlan> fit_memory(const PlanProblem& problem, int64_t budget);

// Of the layers' forward pass, the part that the backward pass does again: 0 with keep, 1 with recompute.
double recomputed_share(const PlanProblem& problem, const nn::ActivationPolicies& policies);

}  // namespace hici::plan
