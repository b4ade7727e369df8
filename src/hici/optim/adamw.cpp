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

struct AdamW::SortedLists {
  std::array<std::array<KernelLists, 2>, kNumGroups> lists;

  void add(const TrainedParameter& parameter, const at::Tensor& master, const at::Tensor& gradient,
           const at::Tensor& exp_avg, const at::Tensor& exp_avg_sq) {
    KernelLists& list = lists[static_cast<size_t>(parameter.group)][parameter.decays ? 1 : 0];
    list.parameters.push_back(master);
    list.gradients.push_back(gradient);
    list.exp_avgs.push_back(exp_avg);
    list.exp_avg_sqs.push_back(exp_avg_sq);
  }
};

namespace {

// Of the state in host memory.
enum StateKind : int64_t { kExpAvg, kExpAvgSq, kMaster };

// A few launches on a GPU, where one for each tensor takes the host longer than the device.
void copy_all(const std::vector<at::Tensor>& to, const std::vector<at::Tensor>& from) {
  if (!to.empty()) at::_foreach_copy_(to, from);  // LibTorch refuses an empty list
}

at::Tensor part_of(const at::Tensor& t, const HostState::Part& part) {
  return t.view({-1}).narrow(0, part.begin, part.size);
}

}  // namespace

AdamW::AdamW(std::vector<TrainedParameter> parameters, const AdamWOptions& options) : options_(options) {
  const at::NoGradGuard no_grad;
  for (TrainedParameter& parameter : parameters) {
    const at::Tensor& tensor = parameter.tensor;
    HICI_ASSERT(tensor.requires_grad() && tensor.is_leaf(), parameter.name);
    if (!step_.defined()) step_ = at::zeros({}, tensor.options().dtype(at::kFloat));
    slots_.push_back({std::move(parameter), {}, {}, {}});
  }
  if (options.state_on_host && !slots_.empty()) {
    make_state_on_host();
    return;
  }
  for (Slot& slot : slots_) {
    const at::Tensor& tensor = slot.parameter.tensor;
    const auto wide = ops::accumulation_type(tensor.scalar_type());
    slot.master = tensor.scalar_type() == wide ? tensor.detach() : tensor.detach().to(wide);
    slot.exp_avg = at::zeros_like(slot.master);
    slot.exp_avg_sq = at::zeros_like(slot.master);
  }
}

void AdamW::make_state_on_host() {
  const at::Tensor& first = slots_.front().parameter.tensor;
  const auto type = first.scalar_type(), wide = ops::accumulation_type(type);
  std::vector<int64_t> sizes;
  for (const Slot& slot : slots_) {
    HICI_ASSERT(slot.parameter.tensor.scalar_type() == type, slot.parameter.name);
    sizes.push_back(slot.parameter.tensor.numel());
  }
  on_host_ = std::make_unique<HostState>(sizes, type == wide ? kMaster : kMaster + 1, wide, first.device());
  for (size_t i = 0; i < slots_.size(); ++i) {
    const at::Tensor& tensor = slots_[i].parameter.tensor;
    slots_[i].exp_avg = on_host_->of(i, kExpAvg).view(tensor.sizes());
    slots_[i].exp_avg_sq = on_host_->of(i, kExpAvgSq).view(tensor.sizes());
    slots_[i].master = tensor.detach();
    if (type != wide) slots_[i].master = on_host_->of(i, kMaster).view(tensor.sizes()).copy_(tensor);
  }
}

void AdamW::step(const std::vector<at::Tensor>& gradients, const std::array<double, kNumGroups>& rates) {
  const at::NoGradGuard no_grad;
  HICI_ASSERT(gradients.size() == slots_.size(), gradients.size(), " gradients for ", slots_.size(), " parameters");
  if (step_.defined()) step_.fill_(static_cast<double>(steps_taken_ + 1));
  on_host_ ? update_through_device(gradients, rates) : update_on_device(gradients, rates);
  ++steps_taken_;
}

void AdamW::update_on_device(const std::vector<at::Tensor>& gradients, const std::array<double, kNumGroups>& rates) {
  SortedLists lists;
  for (size_t i = 0; i < slots_.size(); ++i) {
    const Slot& slot = slots_[i];
    if (gradients[i].defined()) lists.add(slot.parameter, slot.master, gradients[i], slot.exp_avg, slot.exp_avg_sq);
  }
  update(lists, rates);
  std::vector<at::Tensor> parameters, masters;
  for (Slot& slot : slots_) {
    if (slot.parameter.tensor.scalar_type() == slot.master.scalar_type()) continue;
    parameters.push_back(slot.parameter.tensor.detach());
    masters.push_back(slot.master);
  }
  copy_all(parameters, masters);
}

void AdamW::update_through_device(const std::vector<at::Tensor>& gradients,
                                  const std::array<double, kNumGroups>& rates) {
  on_host_->update([&](const std::vector<HostState::Part>& parts) {
    SortedLists lists;
    std::vector<at::Tensor> parameters, masters;
    for (const HostState::Part& part : parts) {
      const TrainedParameter& parameter = slots_[part.tensor].parameter;
      if (!gradients[part.tensor].defined()) continue;
      const at::Tensor here = part_of(parameter.tensor.detach(), part);
      const bool has_master = part.state.size() > kMaster;
      const at::Tensor& master = has_master ? part.state[kMaster] : here;
      lists.add(parameter, master, part_of(gradients[part.tensor], part), part.state[kExpAvg], part.state[kExpAvgSq]);
      if (!has_master) continue;
      parameters.push_back(here);
      masters.push_back(master);
    }
    update(lists, rates);
    copy_all(parameters, masters);
  });
}

void AdamW::update(const SortedLists& lists, const std::array<double, kNumGroups>& rates) const {
  for (size_t group = 0; group < kNumGroups; ++group) {
    update(lists.lists[group][0], rates[group], 0.0);
    update(lists.lists[group][1], rates[group], options_.weight_decay);
  }
}

void AdamW::update(const KernelLists& lists, double rate, double weight_decay) const {
  if (lists.parameters.empty()) return;
  const std::vector<at::Tensor> steps(lists.parameters.size(), step_);
  at::_fused_adamw_(lists.parameters, lists.gradients, lists.exp_avgs, lists.exp_avg_sqs, /*max_exp_avg_sqs=*/{}, steps,
                    rate, options_.beta1, options_.beta2, weight_decay, options_.epsilon,
                    /*amsgrad=*/false, /*maximize=*/false);
}

void AdamW::finish() const {
  if (on_host_) on_host_->finish();
}

void AdamW::visit_state(const StateVisitor& visit) {
  finish();
  for (Slot& slot : slots_) {
    visit("exp_avg." + slot.parameter.name, slot.exp_avg);
    visit("exp_avg_sq." + slot.parameter.name, slot.exp_avg_sq);
    const bool has_master = slot.parameter.tensor.scalar_type() != slot.master.scalar_type();
    if (has_master) visit("master." + slot.parameter.name, slot.master);
  }
}

}  // namespace hici::optim
