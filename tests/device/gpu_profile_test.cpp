// SPDX-License-Identifier: Apache-2.0
// Parts and peaks on a GPU, whose work is queued. Fails, not skips, without one: only lanes that have a GPU run the
// label `gpu`.
#include "hici/device/cuda_plugin.h"
#include "hici/device/device.h"
#include "hici/device/profile.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <gtest/gtest.h>

namespace hici::device {
namespace {

class GpuProfileTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { require_cuda_device("cuda:0", 0); }
  at::Device gpu_{at::kCUDA, 0};
};

TEST_F(GpuProfileTest, QueuedWorkAndItsBackwardGoToTheirPart) {
  const at::Tensor x = at::randn({4096, 4096}, gpu_).requires_grad_(true);
  const auto square = [](const at::Tensor& t) { return at::matmul(t, t); };
  torch::autograd::backward({square(x).sum()}, {});  // the libraries are loaded now
  Profile profile(gpu_);
  torch::autograd::backward({profiled(Part::kLinear, square, x).sum()}, {});
  const PartSeconds seconds = profile.finish();
  // Three products of 4096^3 against a sum: nearly all of the time, however the host was slowed down.
  EXPECT_GT(seconds[static_cast<size_t>(Part::kLinear)], seconds[static_cast<size_t>(Part::kRest)]);
}

TEST_F(GpuProfileTest, ThePeakIsThatOfTheAllocatorSinceTheReset) {
  constexpr int64_t kBytes = int64_t{64} << 20;
  const at::Tensor kept = at::zeros({kBytes}, at::TensorOptions().device(gpu_).dtype(at::kByte));
  reset_peak_memory(gpu_);
  const int64_t before = peak_memory(gpu_).allocated;
  EXPECT_GE(before, kBytes);
  {
    const at::Tensor more = at::zeros_like(kept);
  }
  EXPECT_EQ(peak_memory(gpu_).allocated, before + kBytes);
  EXPECT_GE(peak_memory(gpu_).reserved, before + kBytes);
}

}  // namespace
}  // namespace hici::device
