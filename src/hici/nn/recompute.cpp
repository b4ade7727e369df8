// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/recompute.h"

#include "hici/device/autograd_node.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

namespace hici::nn {
namespace {

using torch::autograd::variable_list;
using Layer = std::function<TensorList(const TensorList&)>;

class RecomputeNode : public torch::autograd::Node {
 public:
  RecomputeNode(Layer layer, const TensorList& inputs, ActivationOffloader* offload) : layer_(std::move(layer)) {
    if (offload != nullptr && !inputs.front().is_cpu()) {
      on_host_ = offload->offload(inputs);
      return;
    }
    for (const at::Tensor& input : inputs) saved_.emplace_back(input, /*is_output=*/false);
  }

  variable_list apply(variable_list&& grads) override {
    TensorList inputs = take_inputs();
    for (size_t i = 0; i < inputs.size(); ++i) inputs[i].requires_grad_(task_should_compute_output(i));
    run_backward(inputs, grads);
    variable_list input_grads;
    for (size_t i = 0; i < inputs.size(); ++i) {
      input_grads.push_back(task_should_compute_output(i) ? inputs[i].grad() : at::Tensor());
    }
    return input_grads;
  }

  std::string name() const override { return "hici::RecomputeBackward"; }

  void release_variables() override {
    for (auto& saved : saved_) saved.reset_data();
    on_host_.reset();
  }

 private:
  TensorList take_inputs() {
    if (on_host_) return wait(*on_host_);
    TensorList inputs;
    for (auto& saved : saved_) inputs.push_back(saved.unpack().detach());
    return inputs;
  }

  void run_backward(const TensorList& inputs, const variable_list& grads) const {
    const at::AutoGradMode enable_grad(true);
    const TensorList outputs = layer_(inputs);
    variable_list roots, root_grads;
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (!grads[i].defined() || !outputs[i].requires_grad()) continue;
      roots.push_back(outputs[i]);
      root_grads.push_back(grads[i]);
    }
    // Reentrant on purpose: it adds to the .grad of the parameters that the layer uses.
    if (!roots.empty()) torch::autograd::backward(roots, root_grads);
  }

  Layer layer_;
  std::vector<torch::autograd::SavedVariable> saved_;  // the inputs: here, or
  std::shared_ptr<OffloadedTensors> on_host_;          // in host memory
};

}  // namespace

TensorList recompute(Layer layer, const TensorList& inputs, ActivationOffloader* offload) {
  if (!at::GradMode::is_enabled()) return layer(inputs);
  TensorList outputs;
  {
    const at::NoGradGuard no_grad;
    // Detached: an output that is a view, or one of the inputs, must not carry their history into its own.
    for (const at::Tensor& output : layer(inputs)) outputs.push_back(output.detach());
  }
  // The node exists even when no input needs a gradient: the layer's own parameters do.
  auto node = device::make_node<RecomputeNode>(std::move(layer), inputs, offload);
  node->set_next_edges(torch::autograd::collect_next_edges(at::TensorList(inputs)));
  torch::autograd::set_history(outputs, node);
  return outputs;
}

}  // namespace hici::nn
