// SPDX-License-Identifier: Apache-2.0
// Layer inputs that wait in host memory. Fails, not skips, without a GPU: only lanes that have one run the label `gpu`.
#include "hici/device/cuda_plugin.h"
#include "hici/device/device.h"
#include "hici/nn/recompute.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <gtest/gtest.h>

namespace hici::nn {
namespace {

constexpr int64_t kLayers = 6, kRows = 8192, kWidth = 2048;
constexpr int64_t kInputBytes = kRows * kWidth * 4;

struct Outcome {
  at::Tensor input_gradient, weight_gradient;
  int64_t held = 0;  // on the card at the end of the forward pass
};

class GpuOffloadTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { device::require_cuda_device("cuda:0", 0); }

  int64_t held_now() const {
    device::synchronize(gpu_);
    const at::Tensor any = at::zeros({1}, at::TensorOptions().device(gpu_));  // the allocator looks at its events
    device::reset_peak_memory(gpu_);
    return device::peak_memory(gpu_).allocated;
  }

  Outcome run(bool offloads) const {
    at::manual_seed(5);
    const auto options = at::TensorOptions().device(gpu_);
    const at::Tensor weight = (at::randn({kWidth, kWidth}, options) / 45).requires_grad_();
    const at::Tensor start = at::randn({kRows, kWidth}, options).requires_grad_();
    ActivationOffloader chain;
    const int64_t before = held_now();
    at::Tensor x = start * 1;
    for (int64_t i = 0; i < kLayers; ++i) {
      // Several kernels a layer, so that copies and work run beside each other.
      auto layer = [&](const TensorList& in) {
        return TensorList{at::matmul(at::matmul(in[0], weight).sin(), weight)};
      };
      x = recompute(layer, {x}, offloads ? &chain : nullptr)[0];
    }
    Outcome out;
    out.held = held_now() - before;
    torch::autograd::backward({x.square().sum()}, {});
    out.input_gradient = start.grad();
    out.weight_gradient = weight.grad();
    return out;
  }

  at::Device gpu_{at::kCUDA, 0};
};

// The same kernels on the same values: a copy that came late or was overwritten would show.
TEST_F(GpuOffloadTest, GradientsAreThoseOfRecomputationBitForBit) {
  const Outcome kept = run(false);
  for (int64_t repetition = 0; repetition < 5; ++repetition) {
    const Outcome offloaded = run(true);
    EXPECT_TRUE(at::equal(offloaded.input_gradient, kept.input_gradient)) << repetition;
    EXPECT_TRUE(at::equal(offloaded.weight_gradient, kept.weight_gradient)) << repetition;
  }
}

TEST_F(GpuOffloadTest, InputsAreOnTheHostAndNotOnTheCard) {
  // The result of the last layer is there in both; the first product's workspace comes before.
  run(false);
  const Outcome kept = run(false), offloaded = run(true);
  EXPECT_GE(kept.held, (kLayers + 1) * kInputBytes);
  EXPECT_LT(offloaded.held, 2 * kInputBytes);
}

}  // namespace
}  // namespace hici::nn
