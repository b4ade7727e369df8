// SPDX-License-Identifier: Apache-2.0
// Gradients of a small model whose frozen weights are placed somewhere, or stay.
#pragma once

#include "hici/hierarchy/hierarchy.h"
#include "hici/ops/linear_cross_entropy.h"
#include "hici/train/place_weights.h"
#include "hici/train/segment_streaming.h"
#include "support/tiny_config.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/autograd/autograd.h>

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <memory>
#include <string>

namespace hici::train {

// Where and how large a model is.
struct Place {
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;
  int64_t hidden = 16, vocabulary = 23, segment = 4, segments = 4;
  ops::AttentionBackend backend = ops::AttentionBackend::kAuto;
};

struct Case {
  const char* name;
  int64_t layers;
  nn::ActivationPolicies policies;
  bool streamed = false;
  config::BaseFormat format = config::BaseFormat::kModel;
  optim::TrainableSelection trainable = {};
};

// What one step gives: the loss, and the gradients by name.
using Gradients = std::map<std::string, at::Tensor>;

inline data::TokenBatch tokens(const Place& at) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(12);
  const int64_t length = at.segment * at.segments;
  data::TokenBatch batch;
  batch.tokens_BT =
      at::randint(at.vocabulary, {2, length}, generator, at::TensorOptions().dtype(at::kLong)).to(at.device);
  batch.labels_BT = batch.tokens_BT.roll(-1, 1);
  batch.num_targets = 2 * length;
  return batch;
}

inline std::unique_ptr<nn::CausalLm> make_model(const Case& c, const PlaceLayer& place, Gradients& trained,
                                                const Place& at) {
  auto model = std::make_unique<nn::CausalLm>(
      testing::tiny_config(
          {.vocabulary = at.vocabulary, .hidden = at.hidden, .layers = c.layers, .heads = 4, .kv_heads = 2}),
      nn::ParameterOptions{at.dtype});
  hierarchy::attach_hierarchy(*model, testing::tiny_hici(config::CausalMode::kCausalGi), {at.dtype});
  model->add_lora({.rank = 2, .alpha = 4, .targets = {"q_proj", "k_proj", "down_proj"}});
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(11);
  auto draw = [&](const std::string& name, at::Tensor& t) {
    const double width = t.dim() < 2 ? 11 : static_cast<double>(t.size(1));
    at::Tensor drawn = at::randn(t.sizes(), generator).div_(std::sqrt(width));
    if (name.find("norm") != std::string::npos) drawn.add_(1);
    t = drawn.to(at.device, at.dtype);
  };
  auto placed = [&](size_t layer) {
    if (place) place(*model, layer);
  };
  model->visit_parameters(draw, {.after = placed});
  for (const optim::TrainedParameter& each : optim::select_trainable(*model, c.trainable))
    trained[each.name] = each.tensor;
  if (!place) model->quantise_frozen(c.format);
  return model;
}

// Two steps of gradients: the second finds the buffers as the first has left them.
inline Gradients run(const Case& c, const PlaceLayer& place, const Place& at = {}) {
  Gradients trained, result;
  const auto model = make_model(c, place, trained, at);
  EXPECT_EQ(model->frozen_weights() != nullptr, bool(place));
  nn::ForwardOptions forward;
  forward.attention = nn::AttentionKind::kHici;
  forward.segment_length = at.segment;
  forward.policies = c.policies;
  forward.backend = at.backend;
  const data::TokenBatch batch = tokens(at);
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

inline void expect_same(const Gradients& got, const Gradients& expected) {
  ASSERT_EQ(got.size(), expected.size());
  for (const auto& [name, value] : expected) {
    ASSERT_EQ(got.at(name).defined(), value.defined()) << name;
    if (!value.defined()) continue;
    EXPECT_TRUE(at::equal(got.at(name), value)) << name;
  }
}

// As place_frozen_weights() does, for any group and device.
inline PlaceLayer placing(const parallel::ProcessGroup& group, bool on_host, const Case& c,
                          at::Device device = at::kCPU) {
  return [=](nn::CausalLm& model, size_t layer) {
    place_layer(model, layer, c.trainable, c.format, {group, device, on_host});
  };
}

}  // namespace hici::train
