// SPDX-License-Identifier: Apache-2.0
// Frozen weights that are cut among processes or wait in host memory: losses and gradients are those of a model whose
// weights stay where they are, to the last bit. The "processes" are threads.
#include "hici/train/place_weights.h"

#include "hici/hierarchy/hierarchy.h"
#include "hici/ops/linear_cross_entropy.h"
#include "hici/train/segment_streaming.h"
#include "parallel/group_of_threads.h"
#include "support/error_message.h"
#include "support/tiny_config.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/autograd/autograd.h>

#include <gtest/gtest.h>

#include <map>

namespace hici::train {
namespace {

using enum nn::ActivationPolicy;

constexpr int64_t kSegment = 4, kTokens = 16, kVocabulary = 23;

struct Case {
  const char* name;
  int64_t layers;
  nn::ActivationPolicies policies;
  bool streamed = false;
  bool fp8 = false;
};

// What one step gives: the loss, and the gradients by name.
using Gradients = std::map<std::string, at::Tensor>;

data::TokenBatch tokens() {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(12);
  data::TokenBatch batch;
  batch.tokens_BT = at::randint(kVocabulary, {2, kTokens}, generator, at::TensorOptions().dtype(at::kLong));
  batch.labels_BT = batch.tokens_BT.roll(-1, 1);
  batch.num_targets = 2 * kTokens;
  return batch;
}

config::HiciConfig hici_config() {
  config::HiciConfig config;
  config.num_local_slots = 3;
  config.global_slots = 2;
  config.num_heads = 2;
  config.bottleneck_dim = 8;
  config.shared_compress_dim = 4;
  config.causal_mode = config::CausalMode::kCausalGi;
  return config;
}

std::unique_ptr<nn::CausalLm> make_model(const Case& c, const PlaceLayer& place, Gradients& trained) {
  auto model = std::make_unique<nn::CausalLm>(
      testing::tiny_config({.vocabulary = kVocabulary, .hidden = 16, .layers = c.layers, .heads = 4, .kv_heads = 2}),
      nn::ParameterOptions{at::kFloat});
  hierarchy::attach_hierarchy(*model, hici_config(), {at::kFloat});
  model->add_lora({"q_proj", "k_proj", "down_proj"}, 2, 2.0);
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(11);
  auto draw = [&](const std::string& name, at::Tensor& t) {
    t = at::randn(t.sizes(), generator).mul_(0.3);
    if (name.find("norm") != std::string::npos) t.add_(1);
  };
  auto placed = [&](size_t layer) {
    if (place) place(*model, layer);
  };
  model->visit_parameters(draw, {.after = placed});
  for (const optim::TrainedParameter& each : optim::select_trainable(*model, {})) trained[each.name] = each.tensor;
  if (c.fp8 && !place) model->quantise_frozen("fp8");
  return model;
}

// Two steps of gradients: the second finds the buffers as the first has left them.
Gradients run(const Case& c, const PlaceLayer& place) {
  Gradients trained, result;
  const auto model = make_model(c, place, trained);
  EXPECT_EQ(model->frozen_weights() != nullptr, bool(place));
  nn::ForwardOptions forward;
  forward.attention = nn::AttentionKind::kHici;
  forward.segment_length = kSegment;
  forward.policies = c.policies;
  const data::TokenBatch batch = tokens();
  for (int step = 0; step < 2; ++step) {
    at::Tensor loss;
    if (c.streamed) {
      loss = streamed_gradients(*model, forward, batch, batch.num_targets, {});
    } else {
      const at::Tensor hidden = model->forward_hidden(batch.tokens_BT, forward).flatten(0, 1);
      loss = ops::linear_cross_entropy(hidden, model->head_weight(), batch.labels_BT.flatten());
      torch::autograd::backward({loss}, {});
    }
    result["loss" + std::to_string(step)] = loss.detach();
  }
  for (const auto& [name, tensor] : trained) result[name] = tensor.grad();
  return result;
}

void expect_same(const Gradients& got, const Gradients& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (const auto& [name, value] : expected) {
    ASSERT_EQ(got.at(name).defined(), value.defined()) << name;
    if (!value.defined()) continue;
    EXPECT_TRUE(at::equal(got.at(name), value)) << name;
  }
}

class PlaceWeightsTest : public ::testing::TestWithParam<Case> {};

// As place_frozen_weights() does for a GPU and for processes, which are not here.
PlaceLayer placing(const parallel::ProcessGroup& group, bool on_host, bool fp8) {
  return [=](nn::CausalLm& model, size_t layer) {
    place_layer(model, layer, {}, fp8, [&] {
      return std::make_unique<nn::FrozenWeights>(model.config().num_hidden_layers, group, at::kCPU, on_host);
    });
  };
}

TEST_P(PlaceWeightsTest, GradientsAreThoseOfWeightsThatStay) {
  const Gradients expected = run(GetParam(), {});
  {
    SCOPED_TRACE("in host memory");
    expect_same(run(GetParam(), placing({}, /*on_host=*/true, GetParam().fp8)), expected);
  }
  for (const bool on_host : {false, true}) {
    SCOPED_TRACE(on_host ? "cut, in host memory" : "cut");
    testing::in_threads(2, [&](const parallel::ProcessGroup& group) {
      expect_same(run(GetParam(), placing(group, on_host, GetParam().fp8)), expected);
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
                                           Case{"eight_bits", 3, {}, false, true}),
                         [](const auto& each) { return std::string(each.param.name); });

TEST(PlaceWeightsTest, OneProcessHoldsAPartAndTwoLayers) {
  testing::in_threads(2, [](const parallel::ProcessGroup& group) {
    Gradients trained;
    const auto model = make_model({"", 6, {}}, placing(group, false, false), trained);
    // Frozen of a layer in float32: q, o of 16 x 16, k, v of 8 x 16, three of 16 x 24.
    constexpr int64_t kLayer = 4 * (2 * 256 + 2 * 128 + 3 * 384);
    EXPECT_EQ(model->frozen_weights()->kept_bytes(), 6 * kLayer / 2);
    EXPECT_EQ(model->frozen_weights()->buffer_bytes(), 2 * kLayer);
  });
}

TEST(PlaceWeightsTest, OneProcessWithoutOffloadingHasNothingToPlace) {
  const parallel::World world;
  EXPECT_FALSE(place_frozen_weights({.kind = config::ShardKind::kFull}, {}, false, world, at::kCPU));
  EXPECT_FALSE(place_frozen_weights({.offload_weights = true}, {}, false, world, at::kCPU));
  EXPECT_EQ(weight_processes({.kind = config::ShardKind::kFull, .group_size = 4}, 8), 4);
  EXPECT_EQ(weight_processes({.kind = config::ShardKind::kFull}, 8), 8);
  EXPECT_EQ(weight_processes({}, 8), 1);
  const config::Sharding threes{.kind = config::ShardKind::kFull, .group_size = 3};
  EXPECT_ERROR_SAYS(weight_processes(threes, 8), "`shard_group_size`: groups of 3 do not divide 8 processes");
}

}  // namespace
}  // namespace hici::train
