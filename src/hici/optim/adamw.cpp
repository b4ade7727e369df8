// SPDX-License-Identifier: Apache-2.0
#include "hici/optim/adamw.h"

#include "hici/base/error.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace hici::optim {

// The argument lists of one fused call: parameters that share rate and decay.
struct AdamW::KernelLists {
  std::vector<at::Tensor> parameters, gradients, exp_avgs, exp_avg_sqs;
};

AdamW::AdamW(std::vector<TrainedParameter> parameters, const AdamWOptions& options) : options_(options) {
  const at::NoGradGuard no_grad;
  for (TrainedParameter& parameter : parameters) {
    const at::Tensor& tensor = parameter.tensor;
    HICI_ASSERT(tensor.requires_grad() && tensor.is_leaf(), parameter.name);
    const auto wide = ops::accumulation_type(tensor.scalar_type());
    const at::Tensor master = tensor.scalar_type() == wide ? tensor.detach() : tensor.detach().to(wide);
    if (!step_.defined()) step_ = at::zeros({}, tensor.options().dtype(at::kFloat));
    slots_.push_back({std::move(parameter), master, at::zeros_like(master), at::zeros_like(master)});
  }
}

void AdamW::step(const std::vector<at::Tensor>& gradients, const std::array<double, kNumGroups>& rates) {
  const at::NoGradGuard no_grad;
  HICI_ASSERT(gradients.size() == slots_.size(), gradients.size(), " gradients for ", slots_.size(), " parameters");
  KernelLists lists[kNumGroups][2];
  for (size_t i = 0; i < slots_.size(); ++i) {
    if (!gradients[i].defined()) continue;
    Slot& slot = slots_[i];
    KernelLists& list = lists[static_cast<int>(slot.parameter.group)][slot.parameter.decays ? 1 : 0];
    list.parameters.push_back(slot.master);
    list.gradients.push_back(gradients[i]);
    list.exp_avgs.push_back(slot.exp_avg);
    list.exp_avg_sqs.push_back(slot.exp_avg_sq);
  }
  if (step_.defined()) step_.fill_(static_cast<double>(steps_taken_ + 1));
  for (size_t group = 0; group < kNumGroups; ++group) {
    update(lists[group][0], rates[group], 0.0);
    update(lists[group][1], rates[group], options_.weight_decay);
  }
  ++steps_taken_;
  for (Slot& slot : slots_) {
    const bool has_master = slot.parameter.tensor.scalar_type() != slot.master.scalar_type();
    if (has_master) slot.parameter.tensor.detach().copy_(slot.master);
  }
}

void AdamW::update(const KernelLists& lists, double rate, double weight_decay) const {
  if (lists.parameters.empty()) return;
  const std::vector<at::Tensor> steps(lists.parameters.size(), step_);
  at::_fused_adamw_(lists.parameters, lists.gradients, lists.exp_avgs, lists.exp_avg_sqs, /*max_exp_avg_sqs=*/{}, steps,
                    rate, options_.beta1, options_.beta2, weight_decay, options_.epsilon,
                    /*amsgrad=*/false, /*maximize=*/false);
}

void AdamW::visit_state(const StateVisitor& visit) {
  for (Slot& slot : slots_) {
    visit("exp_avg." + slot.parameter.name, slot.exp_avg);
    visit("exp_avg_sq." + slot.parameter.name, slot.exp_avg_sq);
    const bool has_master = slot.parameter.tensor.scalar_type() != slot.master.scalar_type();
    if (has_master) visit("master." + slot.parameter.name, slot.master);
  }
}

}  // namespace hici::optim
