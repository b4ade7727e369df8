// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/swiglu.h"

#include "support/gradcheck.h"

namespace hici::ops {
namespace {

TEST(SwiGluTest, MatchesItsDefinition) {
  const at::Tensor gate = testing::randn64({4, 6}), up = testing::randn64({4, 6});
  EXPECT_TRUE(at::allclose(swiglu(gate, up), gate * at::sigmoid(gate) * up, 1e-12, 1e-12));
}

TEST(SwiGluTest, BackwardMatchesCentralDifferences) {
  testing::check_gradients([](const std::vector<at::Tensor>& in) { return swiglu(in[0], in[1]); },
                           {testing::randn64({3, 4}), testing::randn64({3, 4})});
}

}  // namespace
}  // namespace hici::ops
