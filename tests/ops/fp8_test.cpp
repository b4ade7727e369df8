// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/fp8.h"

#include "hici/ops/lora_linear.h"
#include "support/gradcheck.h"

#include <cmath>
#include <limits>

namespace hici::ops {
namespace {

using hici::testing::randn64;

at::Tensor dequantised(const Fp8Rows& rows) { return rows.rows_nI.to(at::kDouble) * rows.scale_n1; }
at::Tensor dequantised(const Fp8Matrix& m) { return m.weight.to(at::kDouble) * m.scale.unsqueeze(1); }

double relative_error(const at::Tensor& a, const at::Tensor& b) { return ((a - b).norm() / b.norm()).item<double>(); }

TEST(Fp8Test, RowsKeepThreeBitsBelowTheLargest) {
  at::manual_seed(1);
  const at::Tensor x = randn64({7, 64}) * at::logspace(-6, 6, 7, 10., at::kDouble).unsqueeze(1);
  const Fp8Rows rows = quantise_rows(x, {});
  // Half a unit in the last of three bits; below 2^-6 numbers stand 2^-9 apart.
  const at::Tensor allowed = at::maximum(x.abs() / 16, rows.scale_n1 * std::pow(2.0, -10));
  EXPECT_TRUE(((dequantised(rows) - x).abs() <= allowed * (1 + 1e-12)).all().item<bool>());
  EXPECT_TRUE(at::allclose(rows.scale_n1 * 448, x.abs().amax(1, true), 1e-12, 0));
  EXPECT_TRUE(at::equal(rows.rows_nI.to(at::kDouble).abs().amax(1), at::full({7}, 448., at::kDouble)));
}

TEST(Fp8Test, ARowOfZerosStaysOne) {
  const Fp8Rows rows = quantise_rows(at::zeros({2, 16}, at::kDouble), {});
  EXPECT_TRUE(at::equal(dequantised(rows), at::zeros({2, 16}, at::kDouble)));
}

TEST(Fp8Test, WhatIsNotFiniteIsNotHidden) {
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    at::Tensor x = at::ones({2, 16}, at::kDouble);
    x[1][3].fill_(bad);
    const at::Tensor y = dequantised(quantise_rows(x, {}));
    EXPECT_TRUE(at::isfinite(y[0]).all().item<bool>());
    EXPECT_FALSE(at::isfinite(y[1]).all().item<bool>()) << bad;
  }
}

TEST(Fp8Test, AMatrixIsQuantisedOnceForBothDirections) {
  at::manual_seed(2);
  const at::Tensor weight = randn64({32, 48});
  const Fp8Matrix matrix = quantise_matrix(weight);
  EXPECT_TRUE(at::equal(matrix.transposed.to(at::kDouble), matrix.weight.to(at::kDouble).t()));
  EXPECT_LT(relative_error(dequantised(matrix), weight), 0.03);  // 3 bits, rounded: 2^-4 / sqrt(3) at the most
}

TEST(Fp8Test, WithoutABackwardPassTheForwardIsTheSame) {
  at::manual_seed(2);
  const at::Tensor weight = randn64({32, 48}), x = randn64({5, 48});
  const Fp8Matrix both = quantise_matrix(weight), forward = quantise_matrix(weight, /*has_backward=*/false);
  EXPECT_EQ(forward.transposed.numel(), 0);
  EXPECT_TRUE(at::equal(lora_linears(x, {{forward.weight, {}, {}, 0, forward.transposed, forward.scale}})[0],
                        lora_linears(x, {{both.weight, {}, {}, 0, both.transposed, both.scale}})[0]));
}

// A layer with a frozen weight in 8 bits and an adapter, one without, and one that is not in 8 bits.
struct MixedLayers {
  at::Tensor x = randn64({2, 5, 48}), a = randn64({2, 48}), b = randn64({32, 2}), plain = randn64({16, 48});
  Fp8Matrix first = quantise_matrix(randn64({32, 48})), second = quantise_matrix(randn64({64, 48}));

  std::vector<LoraWeights> layers() const {
    return {{first.weight, a, b, 0.5, first.transposed, first.scale},
            {second.weight, {}, {}, 0, second.transposed, second.scale},
            {plain}};
  }
};

TEST(Fp8Test, LayersMultiplyWhatTheQuantisedNumbersStandFor) {
  at::manual_seed(3);
  const MixedLayers m;
  const std::vector<at::Tensor> y = lora_linears(m.x, m.layers());
  const at::Tensor x = m.x.view({-1, 48}), xq = dequantised(quantise_rows(m.x, {}));
  const at::Tensor adapter = 0.5 * at::mm(at::mm(x, m.a.t()), m.b.t());  // of x itself
  EXPECT_TRUE(at::allclose(y[0].view({-1, 32}), at::mm(xq, dequantised(m.first).t()) + adapter, 1e-12, 1e-12));
  EXPECT_TRUE(at::allclose(y[1].view({-1, 64}), at::mm(xq, dequantised(m.second).t()), 1e-12, 1e-12));
  EXPECT_TRUE(at::allclose(y[2].view({-1, 16}), at::mm(x, m.plain.t()), 1e-12, 1e-12));
}

TEST(Fp8Test, TheInputsGradientGoesThroughTheQuantisedNumbers) {
  at::manual_seed(4);
  MixedLayers m;
  for (at::Tensor* t : {&m.x, &m.a, &m.b}) t->requires_grad_();
  const std::vector<at::Tensor> y = lora_linears(m.x, m.layers());
  std::vector<at::Tensor> d;
  at::Tensor loss = at::zeros({}, at::kDouble);
  for (const at::Tensor& output : y) {
    d.push_back(randn64({10, output.size(-1)}));
    loss = loss + (output.view({10, -1}) * d.back()).sum();
  }
  loss.backward();
  const at::NoGradGuard no_grad;
  const auto through = [](const at::Tensor& grad, const Fp8Matrix& matrix) {
    const Fp8Rows rows = quantise_rows(grad, matrix.scale);
    return at::mm(dequantised(rows), matrix.weight.to(at::kDouble));
  };
  const at::Tensor adapted = 0.5 * at::mm(d[0], m.b), x = m.x.view({10, 48});
  const at::Tensor expected =
      through(d[0], m.first) + through(d[1], m.second) + at::mm(d[2], m.plain) + at::mm(adapted, m.a);
  EXPECT_TRUE(at::allclose(m.x.grad().view({10, 48}), expected, 1e-12, 1e-12));
  EXPECT_TRUE(at::allclose(m.a.grad(), at::mm(adapted.t(), x), 1e-12, 1e-12));
  EXPECT_TRUE(at::allclose(m.b.grad(), 0.5 * at::mm(d[0].t(), at::mm(x, m.a.t())), 1e-12, 1e-12));
  // And is the gradient of the layer but for three bits of either side.
  const at::Tensor exact = at::mm(d[0], dequantised(m.first)) + at::mm(d[1], dequantised(m.second)) +
                           at::mm(d[2], m.plain) + at::mm(adapted, m.a);
  EXPECT_LT(relative_error(m.x.grad().view({10, 48}), exact), 0.04);
}

TEST(Fp8Test, OutputsMayStandBehindFreeRows) {
  at::manual_seed(5);
  const MixedLayers m;
  const std::vector<at::Tensor> plain = lora_linears(m.x, m.layers());
  const std::vector<at::Tensor> behind = lora_linears(m.x, m.layers(), {false, 5, {0, 3, 0}});
  EXPECT_EQ(behind[1].stride(0), 8 * 64);
  EXPECT_TRUE(at::equal(behind[1], plain[1]));
}

}  // namespace
}  // namespace hici::ops
