// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/recompute.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

namespace hici::nn {
namespace {

class RecomputeNode : public torch::autograd::Node {
 public:
  RecomputeNode(std::function<at::Tensor(const at::Tensor&)> layer, const at::Tensor& x)
      : layer_(std::move(layer)), x_(x, /*is_output=*/false) {}

  torch::autograd::variable_list apply(torch::autograd::variable_list&& grads) override {
    const at::Tensor saved = x_.unpack();
    const bool wants_x = task_should_compute_output(0);
    const at::Tensor x = saved.detach().requires_grad_(wants_x);
    {
      const at::AutoGradMode enable_grad(true);
      const at::Tensor y = layer_(x);
      // Reentrant on purpose: it adds to the .grad of the parameters that the layer uses.
      torch::autograd::backward({y}, {grads[0]});
    }
    return {wants_x ? x.grad() : at::Tensor()};
  }

  std::string name() const override { return "hici::RecomputeBackward"; }

  void release_variables() override { x_.reset_data(); }

 private:
  std::function<at::Tensor(const at::Tensor&)> layer_;
  torch::autograd::SavedVariable x_;
};

}  // namespace

at::Tensor recompute(std::function<at::Tensor(const at::Tensor&)> layer, const at::Tensor& x) {
  if (!at::GradMode::is_enabled()) return layer(x);
  at::Tensor y;
  {
    const at::NoGradGuard no_grad;
    y = layer(x);
  }
  // The node exists even when x needs no gradient: the layer's own parameters do.
  auto node = std::shared_ptr<RecomputeNode>(new RecomputeNode(std::move(layer), x), torch::autograd::deleteNode);
  node->set_next_edges(torch::autograd::collect_next_edges(x));
  torch::autograd::set_history(y, node);
  return y;
}

}  // namespace hici::nn
