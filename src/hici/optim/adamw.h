// SPDX-License-Identifier: Apache-2.0
// AdamW with float32 master weights: parameters of a narrower type are updated through a float32 copy.
// Reference: train_trace() in make_golden.py; torch.optim.AdamW gives the same numbers.
#pragma once

#include "hici/optim/host_state.h"
#include "hici/optim/parameter_groups.h"

#include <array>
#include <functional>
#include <memory>

namespace hici::optim {

struct AdamWOptions {
  double beta1 = 0.9;
  double beta2 = 0.999;
  double epsilon = 1e-8;
  double weight_decay = 0;
  // Moments and master weights in pinned host memory. All parameters have one type. The numbers are the same.
  bool state_on_host = false;
};

class AdamW {
 public:
  AdamW(std::vector<TrainedParameter> parameters, const AdamWOptions& options);

  // One update with a learning rate per group (indexed by GroupKind). `gradients` are in the order of the parameters,
  // in float32 (float64 for a float64 parameter). Parameters with an undefined gradient, and their moments, do not
  // change.
  void step(const std::vector<at::Tensor>& gradients, const std::array<double, kNumGroups>& rates);

  int64_t steps_taken() const { return steps_taken_; }
  void set_steps_taken(int64_t steps) { steps_taken_ = steps; }

  // Visits every tensor of the state under its name in a checkpoint: "exp_avg.NAME", "exp_avg_sq.NAME", and
  // "master.NAME" for a parameter narrower than float32. The last step is done when it returns.
  using StateVisitor = std::function<void(const std::string& name, at::Tensor& tensor)>;
  void visit_state(const StateVisitor& visit);
  // Waits until the tensors that visit_state() has shown hold the state after the last step.
  void finish() const;

 private:
  struct Slot {
    TrainedParameter parameter;
    at::Tensor master;  // the parameter itself if it is float32 or float64
    at::Tensor exp_avg;
    at::Tensor exp_avg_sq;
  };
  struct KernelLists;
  // By group and decay.
  struct SortedLists;

  void make_state_on_host();
  void update_on_device(const std::vector<at::Tensor>& gradients, const std::array<double, kNumGroups>& rates);
  void update_through_device(const std::vector<at::Tensor>& gradients, const std::array<double, kNumGroups>& rates);
  void update(const SortedLists& lists, const std::array<double, kNumGroups>& rates) const;
  void update(const KernelLists& lists, double rate, double weight_decay) const;

  AdamWOptions options_;
  std::vector<Slot> slots_;
  std::unique_ptr<HostState> on_host_;  // null: the state is where the parameters are
  at::Tensor step_;                     // scalar float32, read by the fused kernel: the number of the current update
  int64_t steps_taken_ = 0;
};

}  // namespace hici::optim
