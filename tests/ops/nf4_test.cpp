// SPDX-License-Identifier: Apache-2.0
// Expected values: data/nf4_bitsandbytes.json, written by make_nf4_expected.py with bitsandbytes (a ctest checks that
// the file still says what bitsandbytes says).
#include "hici/ops/nf4.h"

#include "hici/base/json.h"
#include "hici/base/sha256.h"
#include "hici/ops/lora_linear.h"
#include "support/gradcheck.h"

#include <cmath>
#include <limits>

namespace hici::ops {
namespace {

using hici::testing::randn64;

// As in make_nf4_expected.py.
at::Tensor numbers(int64_t rows, int64_t columns) {
  at::Tensor values = at::empty({rows, columns}, at::kFloat);
  float* const to = values.mutable_data_ptr<float>();
  for (int64_t i = 0; i < rows * columns; ++i) {
    const auto bits =
        static_cast<int64_t>((static_cast<uint64_t>(i) * 2654435761U + 12345U) % (uint64_t{1} << 32) / 256);
    const int64_t block = i / 64;
    const double value =
        static_cast<double>(bits - (1 << 23)) / (1 << 23) * std::pow(2.0, -static_cast<double>(block % 7));
    to[i] = block == 3 ? 0.0F : static_cast<float>(value);
  }
  return values;
}

std::string digest(const at::Tensor& t) {
  const at::Tensor bytes = t.contiguous();
  return sha256_hex({static_cast<const char*>(bytes.const_data_ptr()), bytes.nbytes()});
}

at::ScalarType type_of(const std::string& name) {
  return name == "float32" ? at::kFloat : name == "bfloat16" ? at::kBFloat16 : at::kHalf;
}

TEST(Nf4Test, CodesScalesAndValuesAreThoseOfBitsandbytes) {
  const nlohmann::json cases = read_json_file(HICI_SOURCE_DIR "/tests/ops/data/nf4_bitsandbytes.json");
  ASSERT_EQ(cases.size(), 18U);
  for (const nlohmann::json& expected : cases) {
    const at::ScalarType type = type_of(expected["type"]);
    const bool is_double = expected["double"];
    const Nf4Matrix matrix = quantise_nf4(numbers(expected["rows"], expected["columns"]).to(type), is_double);
    const at::Tensor codes = matrix.weight.view(-1).narrow(0, 0, 4).to(at::kLong);
    const auto first = expected["first_codes"].get<std::vector<int64_t>>();
    EXPECT_TRUE(at::equal(codes, at::tensor(first))) << expected << codes;
    EXPECT_EQ(digest(matrix.weight), expected["codes"]) << expected;
    const nlohmann::json& scales = expected[is_double ? "scale_codes" : "scales"];
    EXPECT_TRUE(scales.is_null() || digest(matrix.block_scale) == scales) << expected;
    EXPECT_EQ(digest(unpack_nf4(matrix, type)), expected["unpacked"]) << expected;
    if (!is_double) {
      EXPECT_EQ(matrix.scale_groups.numel(), 0);
      continue;
    }
    EXPECT_EQ(matrix.scale_groups[0].item<float>(), expected["mean"].get<float>());
    const auto groups = expected["groups"].get<std::vector<float>>();
    EXPECT_TRUE(
        at::equal(matrix.scale_groups.narrow(0, 1 + kNf4ScaleCodes, matrix.scale_groups.size(0) - 1 - kNf4ScaleCodes),
                  at::tensor(groups)));
  }
}

// The largest matrices are quantised in several pieces.
TEST(Nf4Test, ValuesAreHalfAStepFromTheirCodesAtMost) {
  at::manual_seed(1);
  const at::Tensor weight = at::randn({1100, 16000});
  const at::Tensor values = unpack_nf4(quantise_nf4(weight, false), at::kFloat);
  const at::Tensor largest = weight.view({-1, kNf4Block}).abs().amax(1, true);
  // The widest gap between codes is that of the two lowest, 0.304.
  EXPECT_TRUE(((values - weight).view({-1, kNf4Block}).abs() <= 0.1520 * largest).all().item<bool>());
}

TEST(Nf4Test, WhatIsNotFiniteIsNotHidden) {
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    for (const bool is_double : {false, true}) {
      at::Tensor weight = at::ones({2, 64}, at::kDouble);
      weight[1][3].fill_(bad);
      const at::Tensor values = unpack_nf4(quantise_nf4(weight, is_double), at::kDouble);
      EXPECT_FALSE(at::isfinite(values[1]).all().item<bool>()) << bad;
    }
  }
}

TEST(Nf4Test, ShapesWithoutWholeBlocksAreNamed) {
  EXPECT_EQ(why_not_nf4({{32, 64}, {64, 86}}), "");
  EXPECT_EQ(why_not_nf4({{32, 64}, {16, 6}}),
            "needs an even width and blocks of 64 values, and a projection is 16 x 6");
  EXPECT_EQ(why_not_nf4({{64, 3}}), "needs an even width and blocks of 64 values, and a projection is 64 x 3");
}

// Layers over one input: in 4 bits with an adapter and without, and one that is not.
struct Nf4Layers {
  at::Tensor x = randn64({2, 5, 48}), a = randn64({2, 48}), b = randn64({32, 2}), plain = randn64({16, 48});
  Nf4Matrix first = quantise_nf4(randn64({32, 48}), false), second = quantise_nf4(randn64({64, 48}), true);

  std::vector<LoraWeights> packed() const {
    return {{first.weight, a, b, 0.5, {}, {}, 0, first.block_scale, first.scale_groups},
            {second.weight, {}, {}, 0, {}, {}, 0, second.block_scale, second.scale_groups},
            {plain}};
  }
  std::vector<LoraWeights> unpacked() const {
    return {{unpack_nf4(first, at::kDouble), a, b, 0.5}, {unpack_nf4(second, at::kDouble)}, {plain}};
  }
  // Outputs, then the gradients of x, a and b.
  std::vector<at::Tensor> run(const std::vector<LoraWeights>& layers) {
    for (at::Tensor* t : {&x, &a, &b}) *t = t->detach().requires_grad_();
    std::vector<LoraWeights> used = layers;
    used[0].a = a;
    used[0].b = b;
    std::vector<at::Tensor> all = lora_linears(x, used);
    at::manual_seed(7);
    const std::vector<at::Tensor> cotangents{randn64(all[0].sizes()), randn64(all[1].sizes()), randn64(all[2].sizes())};
    for (const at::Tensor& grad : torch::autograd::grad(all, {x, a, b}, cotangents)) all.push_back(grad);
    return all;
  }
};

// The product is that of the unpacked matrix, in both passes and to the last bit.
TEST(Nf4Test, ProductsAndGradientsAreThoseOfTheUnpackedMatrix) {
  at::manual_seed(4);
  Nf4Layers m;
  const std::vector<at::Tensor> packed = m.run(m.packed()), plain = m.run(m.unpacked());
  ASSERT_EQ(packed.size(), 6U);
  for (size_t i = 0; i < packed.size(); ++i) EXPECT_TRUE(at::equal(packed[i], plain[i])) << i;
}

TEST(Nf4Test, DecodingAndDropoutToo) {
  at::manual_seed(5);
  const Nf4Layers m;
  const at::NoGradGuard no_grad;
  const at::Tensor row = m.x[0].narrow(0, 0, 1);
  AdapterDropout dropout{0.5, at::arange(10)};
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_TRUE(at::equal(lora_linears(row, m.packed())[i], lora_linears(row, m.unpacked())[i])) << i;
    EXPECT_TRUE(
        at::equal(lora_linears(m.x, m.packed(), {}, dropout)[i], lora_linears(m.x, m.unpacked(), {}, dropout)[i]))
        << i;
  }
}

}  // namespace
}  // namespace hici::ops
