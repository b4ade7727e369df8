// SPDX-License-Identifier: Apache-2.0
// One row of `hici bench step` or `eval`: a model with random weights, one context and one kind of attention.
#pragma once

#include "hici/bench/bench_report.h"
#include "hici/device/device.h"
#include "hici/nn/causal_lm.h"
#include "hici/optim/adamw.h"
#include "hici/plan/step_plan.h"
#include "hici/train/gradient_accumulator.h"
#include "hici/train/parameter_shards.h"

#include <map>
#include <memory>

namespace hici::bench {

enum class BenchWork {
  kStep,  // forward, loss, backward, accumulation; with the optimizer also clipping and AdamW
  kEval,  // forward and the score of every next token, without gradients
};

// Random weights by name, drawn at first use on their device and in their type: normal with deviation 0.02, norms one,
// biases zero. Models that are measured side by side share them.
class WeightPool {
 public:
  WeightPool(at::Device device, at::ScalarType dtype) : device_(device), dtype_(dtype) {}
  at::Tensor get(const std::string& name, at::IntArrayRef shape);
  // Whether `weight` is what get(name) gave.
  bool has(const std::string& name, const at::Tensor& weight) const;
  // Of all weights that were drawn.
  int64_t bytes() const;
  // Frees weights that no model uses.
  void drop_unused();

 private:
  at::Device device_;
  at::ScalarType dtype_;
  std::map<std::string, at::Tensor> weights_;
};

class ModelCase {
 public:
  // The share of this process among those of `world` in a step on sequences of `length`. In a world of one, of what
  // several share otherwise: its share alone, a sequence shorter by the number of processes that share one.
  ModelCase(const BenchSpec& spec, BenchWork work, int64_t length, nn::AttentionKind attention, WeightPool& pool,
            const parallel::World& world);

  // False where one process alone has no room for its share, by the plan: nothing was made, and nothing may run.
  bool fits() const { return fits_; }
  // Bytes on a GPU of this case alone, and of weights that it shares with others.
  int64_t own_bytes() const { return own_bytes_; }
  int64_t shared_bytes() const { return shared_bytes_; }
  // What else is on the GPU while this case runs, and is none of its memory.
  void set_bytes_of_others(int64_t bytes) { bytes_of_others_ = bytes; }
  // Runs once on new tokens, untimed.
  void warm_up() { run(draw_tokens()); }
  // Runs once on new tokens and records time and peak memory.
  void measure();
  // Frees everything except weights and moments until the next run.
  void rest();
  // Returns the row. Runs once more with marks if parts are requested.
  nlohmann::json finish(const MachineRates& rates);

 private:
  at::Tensor draw_tokens() const;
  int64_t tokens_of_all() const;  // of a step
  void run(const at::Tensor& tokens_BT);
  void train_step(const at::Tensor& tokens_BT);
  void whole_step(const at::Tensor& tokens_BT);
  void score(const at::Tensor& tokens_BT) const;
  void update_weights();
  void draw_weights(WeightPool& pool);
  void make_optimizer();
  double model_flops() const;
  void add_parts(nlohmann::json& row);
  void plan();

  const BenchSpec& spec_;
  BenchWork work_;
  nn::AttentionKind attention_;
  plan::StepShape shape_;
  plan::StepFlops flops_;
  nn::ForwardOptions forward_;
  nn::CausalLm model_;
  const parallel::World& world_;
  std::unique_ptr<train::ParameterShards> shards_;
  std::unique_ptr<train::GradientAccumulator> gradients_;
  std::unique_ptr<optim::AdamW> optimizer_;
  std::vector<double> seconds_;
  double slowest_alone_ = 0;  // of the processes, where each runs alone
  device::DeviceMemory peak_;
  plan::PlannedStep planned_;  // of a step
  bool fits_ = true;
  int64_t own_bytes_ = 0, shared_bytes_ = 0, bytes_of_others_ = 0;
};

}  // namespace hici::bench
