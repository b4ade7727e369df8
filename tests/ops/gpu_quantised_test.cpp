// SPDX-License-Identifier: Apache-2.0
// Frozen matrices in 8 and 4 bits on a GPU, against the same ops on the CPU. Fails, not skips, without a GPU.
#include "hici/device/cuda_plugin.h"
#include "hici/ops/fp8.h"
#include "hici/ops/fp8_mlp.h"
#include "hici/ops/lora_linear.h"
#include "hici/ops/nf4.h"
#include "hici/ops/swiglu.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace hici::ops {
namespace {

at::Tensor drawn64(at::IntArrayRef shape) { return at::randn(shape, at::TensorOptions().dtype(at::kDouble)); }

// Rows of every width class: one move of a thread, several, and a column factor; segments that stand apart.
TEST(GpuFp8Test, RowsAreThoseOfTheCpu) {
  device::require_cuda_device("cuda:0", 0);
  for (const int64_t width : {16, 64, 4096, 11008, 14336, 20000}) {
    const at::Tensor x =
        (drawn64({3, 9, width}) * at::logspace(-3, 3, 9, 10., at::kDouble).unsqueeze(1)).to(at::kBFloat16);
    const at::Tensor factor = drawn64({width}).abs().to(at::kFloat);
    for (const at::Tensor& f : {at::Tensor(), factor}) {
      const at::Tensor apart = x.cuda().narrow(1, 2, 7);
      const Fp8Rows cpu = quantise_rows(x.narrow(1, 2, 7), f);
      const Fp8Rows gpu = quantise_rows(apart, f.defined() ? f.cuda() : f);
      EXPECT_TRUE(at::allclose(gpu.scale_n1.cpu(), cpu.scale_n1, 1e-6, 0)) << width;
      // The same number but where a tie between two falls to the other side.
      const at::Tensor a = gpu.rows_nI.cpu().to(at::kFloat), b = cpu.rows_nI.to(at::kFloat);
      EXPECT_TRUE(at::allclose(a, b, 1.0 / 8, std::pow(2.0, -9))) << width;
      EXPECT_GE(a.eq(b).to(at::kFloat).mean().item<float>(), 0.999F) << width;
    }
  }
}

TEST(GpuFp8Test, LayersAreThoseOfTheCpu) {
  device::require_cuda_device("cuda:0", 0);
  at::manual_seed(3);
  // A segment of 41 rows: scales of the second one are not on 16 bytes. One of 700: adapters come first.
  for (const int64_t length : {40, 41, 700}) {
    const auto run = [&](const std::vector<at::Tensor>& t, at::Device device, at::ScalarType type) {
      const auto on = [&](size_t i) { return t[i].to(device, type).detach(); };
      const Fp8Matrix first = quantise_matrix(on(1)), second = quantise_matrix(on(2));
      const at::Tensor x = on(0).requires_grad_(), a = on(3).requires_grad_(), b = on(4).requires_grad_();
      const std::vector<at::Tensor> y = lora_linears(x,
                                                     {{first.weight, a, b, 2.0, first.transposed, first.scale},
                                                      {second.weight, {}, {}, 0, second.transposed, second.scale}},
                                                     {false, length, {0, 4}});
      auto results = torch::autograd::grad({y[0], y[1]}, {x, a, b}, {on(5), on(6)});
      results.insert(results.end(), {y[0].detach(), y[1].detach()});
      return results;
    };
    std::vector<at::Tensor> inputs = {drawn64({3, length, 128}), drawn64({96, 128}), drawn64({64, 128}),
                                      drawn64({8, 128}),         drawn64({96, 8}),   drawn64({3, length, 96}),
                                      drawn64({3, length, 64})};
    for (at::Tensor& t : inputs) t = t.to(at::kBFloat16).to(at::kFloat);
    const auto expected = run(inputs, at::kCPU, at::kFloat), got = run(inputs, at::Device(at::kCUDA, 0), at::kBFloat16);
    for (size_t i = 0; i < expected.size(); ++i) {
      const double difference = (got[i].cpu().to(at::kFloat) - expected[i]).abs().max().item<double>();
      EXPECT_LE(difference, 2e-2 * expected[i].abs().max().item<double>())
          << "length " << length << " result " << i;  // bfloat16's rounding
    }
  }
}

// Equal to the last bit to the ops that it is made of, values and gradient; rows held by 256, 512 and 1,024 threads,
// and rows that are made twice.
TEST(GpuFp8Test, AnMlpIsItsParts) {
  device::require_cuda_device("cuda:0", 0);
  at::manual_seed(5);
  for (const int64_t inner : {64, 4096, 11008, 28672, 40000}) {
    SCOPED_TRACE(inner);
    auto drawn = [](at::IntArrayRef shape) { return drawn64(shape).to(at::Device(at::kCUDA, 0), at::kBFloat16); };
    auto matrix = [&](at::IntArrayRef shape) {
      const Fp8Matrix m = quantise_matrix(drawn(shape) * 0.1);
      return LoraWeights{m.weight, {}, {}, 0, m.transposed, m.scale};
    };
    const MlpWeights w{matrix({inner, 64}), matrix({inner, 64}), matrix({64, inner})};
    const at::Tensor x = drawn({2, 21, 64}), dout = drawn({2, 21, 64});
    auto run = [&](auto&& mlp) {
      const at::Tensor in = x.detach().requires_grad_();
      const at::Tensor out = mlp(in);
      return std::vector<at::Tensor>{out.detach(), torch::autograd::grad({out}, {in}, {dout})[0]};
    };
    ASSERT_TRUE(fp8_mlp_supports(x, w));
    const auto got = run([&](const at::Tensor& in) { return fp8_mlp(in, w); });
    const auto expected = run([&](const at::Tensor& in) {
      const auto both = lora_linears(in, {w.gate, w.up});
      return lora_linears(swiglu(both[0], both[1]), {w.down})[0];
    });
    EXPECT_TRUE(at::equal(got[0], expected[0]));
    EXPECT_TRUE(at::equal(got[1], expected[1]));
  }
}

// Those of a decode step, with and without adapters, and of more rows or other widths than their kernel takes.
TEST(GpuFp8Test, LayersOfADecodeStepAreThoseOfTheCpu) {
  device::require_cuda_device("cuda:0", 0);
  at::manual_seed(4);
  const at::NoGradGuard no_grad;
  struct Shape {
    int64_t rows, in, rank;
  };
  const Shape shapes[] = {{1, 4096, 0}, {8, 1152, 8}, {3, 14336, 16}, {9, 128, 8}, {2, 144, 0}};
  for (const Shape& s : shapes) {
    SCOPED_TRACE(::testing::Message() << s.rows << " rows of " << s.in << ", rank " << s.rank);
    auto drawn = [](at::IntArrayRef shape) { return drawn64(shape).to(at::kBFloat16).to(at::kFloat); };
    const std::vector<at::Tensor> t = {drawn({s.rows, 1, s.in}), drawn({208, s.in}), drawn({32, s.in}),
                                       drawn({s.rank, s.in}), drawn({208, s.rank})};
    auto run = [&](at::Device device, at::ScalarType type) {
      const auto on = [&](size_t i) { return t[i].to(device, type); };
      const Fp8Matrix first = quantise_matrix(on(1), false), second = quantise_matrix(on(2), false);
      LoraWeights with{first.weight, {}, {}, 0, first.transposed, first.scale};
      if (s.rank > 0) with = {first.weight, on(3), on(4), 0.5, first.transposed, first.scale};
      return lora_linears(on(0), {with, {second.weight, {}, {}, 0, second.transposed, second.scale}});
    };
    const auto expected = run(at::kCPU, at::kFloat), got = run(at::Device(at::kCUDA, 0), at::kBFloat16);
    for (size_t i = 0; i < expected.size(); ++i) {
      const double difference = (got[i].cpu().to(at::kFloat) - expected[i]).abs().max().item<double>();
      EXPECT_LE(difference, 2e-2 * expected[i].abs().max().item<double>()) << "result " << i;  // bfloat16's rounding
    }
  }
}

// The same bits: products of float32 numbers, rounded once. Of one block, and of more than a launch's last block of
// threads.
TEST(GpuNf4Test, MatricesAreThoseOfTheCpu) {
  device::require_cuda_device("cuda:0", 0);
  at::manual_seed(6);
  for (const auto& [rows, width] : {std::pair<int64_t, int64_t>{1, 64}, {64, 86}, {1100, 16000}}) {
    const at::Tensor weight = drawn64({rows, width}).to(at::kBFloat16);
    for (const bool is_double : {false, true}) {
      const Nf4Matrix cpu = quantise_nf4(weight, is_double), gpu = quantise_nf4(weight.cuda(), is_double);
      EXPECT_TRUE(at::equal(gpu.weight.cpu(), cpu.weight)) << rows;
      EXPECT_TRUE(is_double || at::equal(gpu.block_scale.cpu(), cpu.block_scale)) << rows;
      // Of the same codes and scales: the mean of all scales is summed in another order.
      const Nf4Matrix moved{cpu.weight.cuda(), cpu.block_scale.cuda(), cpu.scale_groups.cuda()};
      for (const at::ScalarType type : {at::kBFloat16, at::kHalf, at::kFloat, at::kDouble})
        EXPECT_TRUE(at::equal(unpack_nf4(moved, type).cpu(), unpack_nf4(cpu, type))) << rows << " " << type;
    }
  }
}

TEST(GpuNf4Test, LayersOfAStepAndOfDecodingAreThoseOfTheUnpackedMatrix) {
  device::require_cuda_device("cuda:0", 0);
  at::manual_seed(7);
  const at::Device device(at::kCUDA, 0);
  const Nf4Matrix matrix = quantise_nf4(drawn64({96, 128}).to(device, at::kBFloat16), false);
  const LoraWeights packed{matrix.weight, {}, {}, 0, {}, {}, 0, matrix.block_scale, matrix.scale_groups};
  const LoraWeights plain{unpack_nf4(matrix, at::kBFloat16)};
  for (const int64_t rows : {1, 8, 40, 600}) {
    auto run = [&](const LoraWeights& layer) {
      at::manual_seed(8);
      const at::Tensor x = drawn64({1, rows, 128}).to(device, at::kBFloat16).requires_grad_();
      const at::Tensor y = lora_linears(x, {layer})[0];
      const at::NoGradGuard no_grad;
      return std::vector<at::Tensor>{y, torch::autograd::grad({y}, {x}, {at::ones_like(y)})[0],
                                     lora_linears(x, {layer})[0]};
    };
    const auto got = run(packed), expected = run(plain);
    for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(at::equal(got[i], expected[i])) << rows << " rows, " << i;
  }
}

}  // namespace
}  // namespace hici::ops
