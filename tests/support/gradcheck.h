// SPDX-License-Identifier: Apache-2.0
// Checks the backward of a function against central differences, in float64; random tensors and distances for it.
#pragma once

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <gtest/gtest.h>

#include <functional>
#include <vector>

namespace hici::testing {

// `f` maps the inputs (float64 leaves) to a tensor. Its gradient along a fixed random cotangent is compared with
// central differences in every coordinate. Tolerance: with a step of 1e-5 the truncation error is about 1e-10 of the
// third derivative and the rounding error about 1e-11 of the value; 1e-7 leaves room for both.
inline void check_gradients(const std::function<at::Tensor(const std::vector<at::Tensor>&)>& f,
                            std::vector<at::Tensor> inputs, double tolerance = 1e-7) {
  for (at::Tensor& input : inputs) input = input.detach().clone().requires_grad_();
  const at::Tensor y = f(inputs);
  const at::Tensor cotangent = at::randn_like(y);
  const auto analytic = torch::autograd::grad({y}, inputs, {cotangent});
  const at::NoGradGuard no_grad;
  constexpr double kStep = 1e-5;
  for (size_t i = 0; i < inputs.size(); ++i) {
    const at::Tensor flat = inputs[i].view(-1);
    const at::Tensor gradient = analytic[i].contiguous().view(-1);
    for (int64_t j = 0; j < flat.numel(); ++j) {
      const double original = flat[j].item<double>();
      auto value_at = [&](double x) {
        flat[j].fill_(x);
        return (f(inputs) * cotangent).sum().item<double>();
      };
      const double numeric = (value_at(original + kStep) - value_at(original - kStep)) / (2 * kStep);
      flat[j].fill_(original);
      const double got = gradient[j].item<double>();
      ASSERT_NEAR(got, numeric, tolerance * (1 + std::abs(numeric))) << "input " << i << ", coordinate " << j;
    }
  }
}

inline double max_difference(const at::Tensor& a, const at::Tensor& b) { return (a - b).abs().max().item<double>(); }

inline at::Tensor randn64(at::IntArrayRef shape) { return at::randn(shape, at::TensorOptions().dtype(at::kDouble)); }

}  // namespace hici::testing
