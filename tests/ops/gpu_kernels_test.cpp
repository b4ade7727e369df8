// SPDX-License-Identifier: Apache-2.0
// The CUDA kernels against the same ops on the CPU in float64, values and gradients. Fails, not skips, without a GPU:
// only lanes that have one run the label `gpu`.
#include "hici/ops/attention_heads.h"
#include "hici/ops/cuda_plugin.h"
#include "hici/ops/rms_norm.h"
#include "hici/ops/swiglu.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <gtest/gtest.h>

#include <functional>
#include <vector>

namespace hici::ops {
namespace {

struct Precision {
  at::ScalarType type;
  double tolerance;  // relative to the largest value: the roundings of a few operations in that type
};

class GpuKernelsTest : public ::testing::TestWithParam<Precision> {
 protected:
  static void SetUpTestSuite() { require_cuda_device("cuda:0", 0); }
  void SetUp() override { at::manual_seed(1); }

  // `f` on the inputs rounded to the type under test, on the GPU in that type and on the CPU in float64.
  void compare(const std::function<at::Tensor(const std::vector<at::Tensor>&)>& f,
               const std::vector<at::Tensor>& inputs) {
    const at::Tensor cotangent = rounded(at::randn_like(f(inputs)));
    const auto expected = value_and_gradients(f, inputs, cotangent, at::kDouble, at::kCPU);
    const auto got = value_and_gradients(f, inputs, cotangent, GetParam().type, at::kCUDA);
    for (size_t i = 0; i < expected.size(); ++i) {
      const at::Tensor difference = (got[i].cpu().to(at::kDouble) - expected[i]).abs().max();
      EXPECT_LE(difference.item<double>(), GetParam().tolerance * expected[i].abs().max().item<double>())
          << "result " << i;
    }
  }

 private:
  at::Tensor rounded(const at::Tensor& t) const { return t.to(GetParam().type).to(at::kDouble); }

  std::vector<at::Tensor> value_and_gradients(const std::function<at::Tensor(const std::vector<at::Tensor>&)>& f,
                                              const std::vector<at::Tensor>& inputs, const at::Tensor& cotangent,
                                              at::ScalarType type, at::DeviceType device) const {
    std::vector<at::Tensor> leaves;
    for (const at::Tensor& input : inputs) {
      leaves.push_back(rounded(input).to(device, type).detach().requires_grad_());
    }
    const at::Tensor y = f(leaves);
    std::vector<at::Tensor> results = torch::autograd::grad({y}, leaves, {cotangent.to(device, type)});
    results.push_back(y.detach());
    return results;
  }
};

at::Tensor random(at::IntArrayRef shape) { return at::randn(shape, at::TensorOptions().dtype(at::kDouble)); }

TEST_P(GpuKernelsTest, RmsNormMatchesCpu) {
  for (const int64_t width : {8, 100, 4096}) {
    compare([](const std::vector<at::Tensor>& in) { return rms_norm(in[0], in[1], 1e-5); },
            {random({37, width}), random({width})});
  }
}

TEST_P(GpuKernelsTest, PlacedHeadsMatchCpu) {
  for (const int64_t half : {4, 8, 64}) {  // in single elements, and in packs
    const std::vector<double> frequencies(static_cast<size_t>(half), 0.1);
    auto place = [&](const std::vector<at::Tensor>& in) {
      const RotaryTables tables =
          make_rotary_tables(frequencies, 1.0, 5, in[0].size(1), in[0].scalar_type(), in[0].device());
      const AttentionHeads heads = place_heads({in[0], in[1], in[2], in[3], in[4]}, tables, 11);
      return at::cat({heads.q_GSHD.flatten(), heads.k_GKJD.flatten(), heads.v_GKJD.flatten()});
    };
    const at::Tensor tokens = random({2, 33, 3, 2 * half}), slots = random({6, 5, 1, 2 * half});
    compare(place, {tokens, random({2, 33, 1, 2 * half}), random({2, 33, 1, 2 * half}), slots, random(slots.sizes())});
  }
}

TEST_P(GpuKernelsTest, SwiGluMatchesCpu) {
  compare([](const std::vector<at::Tensor>& in) { return swiglu(in[0], in[1]); },
          {random({17, 1001}), random({17, 1001})});
}

INSTANTIATE_TEST_SUITE_P(Types, GpuKernelsTest,
                         ::testing::Values(Precision{at::kFloat, 1e-5}, Precision{at::kBFloat16, 2e-2}),
                         [](const auto& test) { return test.param.type == at::kFloat ? "cuda_f32" : "cuda_bf16"; });

}  // namespace
}  // namespace hici::ops
