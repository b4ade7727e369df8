// SPDX-License-Identifier: Apache-2.0
// Frozen weights that are cut among processes or wait in host memory: losses and gradients are those of a model whose
// weights stay where they are, to the last bit. The "processes" are threads.
#include "hici/train/place_weights.h"

#include "parallel/group_of_threads.h"
#include "support/error_message.h"
#include "train/placed_model.h"

namespace hici::train {
namespace {

using enum nn::ActivationPolicy;

class PlaceWeightsTest : public ::testing::TestWithParam<Case> {};

TEST_P(PlaceWeightsTest, GradientsAreThoseOfWeightsThatStay) {
  const Gradients expected = run(GetParam(), {});
  {
    SCOPED_TRACE("in host memory");
    expect_same(run(GetParam(), placing({}, /*on_host=*/true, GetParam())), expected);
  }
  for (const bool on_host : {false, true}) {
    SCOPED_TRACE(on_host ? "cut, in host memory" : "cut");
    testing::in_threads(2, [&](const parallel::ProcessGroup& group) {
      expect_same(run(GetParam(), placing(group, on_host, GetParam())), expected);
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, PlaceWeightsTest,
                         ::testing::Values(Case{"kept", 5, {}}, Case{"kept_even", 4, {}}, Case{"one_layer", 1, {}},
                                           Case{"recomputed_mlps", 5, nn::ActivationPolicies(5, kRecomputeMlp)},
                                           Case{"recomputed", 4, nn::ActivationPolicies(4, kRecompute)},
                                           Case{"mixed", 5, {kRecompute, kKeep, kRecompute, kRecomputeMlp, kKeep}},
                                           Case{"streamed", 4, {}, true}, Case{"streamed_odd", 3, {}, true},
                                           Case{"streamed_recomputed", 4, nn::ActivationPolicies(4, kRecompute), true},
                                           Case{"eight_bits", 3, {}, false, config::BaseFormat::kFp8},
                                           Case{"four_bits", 3, {}, false, config::BaseFormat::kNf4},
                                           Case{"four_bits_double", 3, {}, false, config::BaseFormat::kNf4Double},
                                           Case{"one_layer_less",
                                                4,
                                                {},
                                                false,
                                                config::BaseFormat::kModel,
                                                {.name_parts = {"norm", "layers.1.mlp", "layers.2."}}}),
                         [](const auto& each) { return std::string(each.param.name); });

TEST(PlaceWeightsTest, OneProcessHoldsAPartAndTwoLayers) {
  testing::in_threads(2, [](const parallel::ProcessGroup& group) {
    Gradients trained;
    const Case six{"", 6, {}};
    const auto model = make_model(six, placing(group, false, six), trained, {});
    // Frozen of a layer in float32: q, o of 16 x 16, k, v of 8 x 16, three of 16 x 24.
    constexpr int64_t kLayer = 4 * (2 * 256 + 2 * 128 + 3 * 384);
    EXPECT_EQ(model->frozen_weights()->kept_bytes(), 6 * kLayer / 2);
    EXPECT_EQ(model->frozen_weights()->buffer_bytes(), 2 * kLayer);
  });
}

TEST(PlaceWeightsTest, OneProcessWithoutOffloadingHasNothingToPlace) {
  const parallel::World world;
  EXPECT_FALSE(
      place_frozen_weights({.kind = config::ShardKind::kFull}, {}, config::BaseFormat::kModel, world, at::kCPU));
  EXPECT_FALSE(place_frozen_weights({.offload_weights = true}, {}, config::BaseFormat::kModel, world, at::kCPU));
  EXPECT_EQ(weight_processes({.kind = config::ShardKind::kFull, .group_size = 4}, 8), 4);
  EXPECT_EQ(weight_processes({.kind = config::ShardKind::kFull}, 8), 8);
  EXPECT_EQ(weight_processes({}, 8), 1);
  const config::Sharding threes{.kind = config::ShardKind::kFull, .group_size = 3};
  EXPECT_ERROR_SAYS(weight_processes(threes, 8), "`shard_group_size`: groups of 3 do not divide 8 processes");
}

}  // namespace
}  // namespace hici::train
