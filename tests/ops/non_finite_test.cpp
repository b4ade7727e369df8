// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/non_finite.h"

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include <limits>

namespace hici::ops {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

class NonFiniteTypeTest : public ::testing::TestWithParam<at::ScalarType> {};
INSTANTIATE_TEST_SUITE_P(Types, NonFiniteTypeTest, ::testing::Values(at::kFloat, at::kBFloat16, at::kHalf, at::kDouble),
                         [](const auto& each) { return c10::toString(each.param); });

TEST_P(NonFiniteTypeTest, FindsOneValueAmongMany) {
  const at::Tensor sound = at::randn({3, 5000}, at::kDouble).to(GetParam());
  EXPECT_EQ(first_non_finite(sound), "");
  EXPECT_TRUE(rows_are_finite(sound).all().item<bool>());
  const auto with = [&](double value) {
    at::Tensor t = sound.clone();
    t[1][4321].fill_(value);
    return t;
  };
  for (const double value : {kNan, kInf, -kInf}) {
    EXPECT_TRUE(at::equal(rows_are_finite(with(value)), at::tensor({1, 0, 1}).to(at::kBool))) << value;
  }
  EXPECT_EQ(first_non_finite(with(kNan)), "nan");
  EXPECT_EQ(first_non_finite(with(kInf)), "inf");
  EXPECT_EQ(first_non_finite(with(-kInf)), "-inf");
}

TEST(NonFiniteTest, NamesTheFirstOfSeveral) {
  EXPECT_EQ(first_non_finite(at::tensor({1.0, -kInf, kNan})), "-inf");
  EXPECT_EQ(first_non_finite(at::tensor({kInf, -kInf})), "inf");  // their sum is nan
}

// A small tensor of float32 is looked at by one thread.
TEST(NonFiniteTest, SmallAndLargeTensorsAlike) {
  for (const int64_t count : {1, 131072, 131073}) {
    at::Tensor t = at::randn({count}, at::kFloat);
    EXPECT_EQ(first_non_finite(t), "") << count;
    t[count - 1] = -kInf;
    EXPECT_EQ(first_non_finite(t), "-inf") << count;
  }
}

TEST(NonFiniteTest, LargeFiniteValuesAreNone) {
  const double largest = std::numeric_limits<float>::max();
  EXPECT_EQ(first_non_finite(at::tensor({largest, largest}, at::kFloat)), "");
}

TEST(NonFiniteTest, TakesEveryType) {
  EXPECT_EQ(first_non_finite(at::tensor({1, 2}, at::kLong)), "");
  EXPECT_EQ(first_non_finite(at::empty({0}, at::kFloat)), "");
  EXPECT_EQ(first_non_finite(at::tensor({1.0, kNan}).to(at::ScalarType::Float8_e4m3fn)), "nan");
}

}  // namespace
}  // namespace hici::ops
