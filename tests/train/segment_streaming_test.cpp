// SPDX-License-Identifier: Apache-2.0
// Streamed gradients against those of the whole step, which golden tests tie to the reference, in float64.
// B batch, N segments, S tokens per segment
#include "hici/train/segment_streaming.h"

#include "hici/base/error.h"
#include "hici/base/signals.h"
#include "hici/hierarchy/hierarchy.h"
#include "hici/ops/linear_cross_entropy.h"
#include "hici/optim/trainable.h"
#include "support/error_message.h"
#include "support/tiny_config.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <gtest/gtest.h>

#include <map>

namespace hici::train {
namespace {

using config::CausalMode;

// Relative to the largest value of a tensor: float64 sums of a few hundred terms in another order, as in the golden
// tests.
constexpr double kTolerance = 1e-9;

struct ModelKind {
  const char* name;
  config::Family family;  // Qwen3 norms q and k
  int64_t kv_heads;       // of 4 query heads
  bool tied;              // the head is the trained embedding
};

config::ModelConfig model_config(const ModelKind& kind, int64_t layers) {
  config::ModelConfig config = testing::tiny_config(
      {.vocabulary = 23, .hidden = 16, .layers = layers, .heads = 4, .kv_heads = kind.kv_heads, .positions = 64},
      kind.family);
  config.intermediate_size = 20;
  config.head_dim = 6;
  config.tie_word_embeddings = kind.tied;
  return config;
}

struct HierarchyKind {
  CausalMode mode;
  bool integrator;
};

config::HiciConfig hici_config(const HierarchyKind& kind, bool bottleneck, bool shared) {
  config::HiciConfig config = testing::tiny_hici(kind.mode);
  config.use_global_integrator = kind.integrator;
  config.use_bottleneck = bottleneck;
  config.shared_compressor = shared;
  return config;
}

struct Shape {
  int64_t batch, segments, segment_length, layers;
};

// A model with random values in every parameter, LoRA on the attention and on the HiCI modules.
struct TestModel {
  nn::CausalLm model;
  std::vector<optim::TrainedParameter> trained;

  TestModel(const config::ModelConfig& config, const config::HiciConfig& hici) : model(config, {at::kDouble}) {
    hierarchy::attach_hierarchy(model, hici, {at::kDouble});
    model.add_lora({.rank = 2, .alpha = 4});
    at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(11);
    model.visit_parameters([&](const std::string& name, at::Tensor& t) {
      t = at::randn(t.sizes(), generator, at::TensorOptions().dtype(at::kDouble)).mul_(0.3);
      if (name.find("norm") != std::string::npos) t.add_(1);
    });
    trained = optim::select_trainable(model, {});
  }

  // The gradients that lie in .grad; zeros where there is none. Takes them away.
  std::map<std::string, at::Tensor> take_gradients() {
    std::map<std::string, at::Tensor> taken;
    for (optim::TrainedParameter& parameter : trained) {
      const at::Tensor& gradient = parameter.tensor.grad();
      taken[parameter.name] = gradient.defined() ? gradient.clone() : at::zeros_like(parameter.tensor);
      parameter.tensor.mutable_grad().reset();
    }
    return taken;
  }
};

data::TokenBatch random_batch(const Shape& shape, int64_t vocabulary) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(12);
  const int64_t length = shape.segments * shape.segment_length;
  data::TokenBatch batch;
  batch.tokens_BT = at::randint(vocabulary, {shape.batch, length}, generator, at::TensorOptions().dtype(at::kLong));
  const at::Tensor end = at::full({shape.batch, 1}, ops::kIgnoredLabel, at::kLong);
  batch.labels_BT = at::cat({batch.tokens_BT.narrow(1, 1, length - 1), end}, 1);
  batch.num_targets = shape.batch * (length - 1);
  return batch;
}

nn::ForwardOptions forward_options(const Shape& shape, bool recompute) {
  nn::ForwardOptions forward;
  forward.attention = nn::AttentionKind::kHici;
  forward.segment_length = shape.segment_length;
  if (recompute) forward.policies.assign(static_cast<size_t>(shape.layers), nn::ActivationPolicy::kRecompute);
  return forward;
}

double whole_step(const nn::CausalLm& model, const nn::ForwardOptions& forward, const data::TokenBatch& batch) {
  const at::Tensor hidden = model.forward_hidden(batch.tokens_BT, forward);
  const at::Tensor loss =
      ops::linear_cross_entropy(hidden.view({-1, hidden.size(-1)}), model.head_weight(), batch.labels_BT.view(-1)) /
      static_cast<double>(batch.num_targets);
  torch::autograd::backward({loss}, {});
  return loss.item<double>();
}

void expect_same_step(TestModel& test, const nn::ForwardOptions& forward, const data::TokenBatch& batch) {
  const double loss = whole_step(test.model, forward, batch);
  const auto expected = test.take_gradients();
  const at::Tensor streamed = streamed_gradients(test.model, forward, batch, batch.num_targets, {});
  ASSERT_TRUE(streamed.defined());
  EXPECT_NEAR(streamed.item<double>(), loss, kTolerance);
  for (const auto& [name, gradient] : test.take_gradients()) {
    const double scale = std::max(expected.at(name).abs().max().item<double>(), 1e-12);
    EXPECT_LE((gradient - expected.at(name)).abs().max().item<double>(), kTolerance * scale) << name;
  }
}

using StreamCase = std::tuple<ModelKind, HierarchyKind>;

class StreamedGradientsTest : public ::testing::TestWithParam<StreamCase> {
 protected:
  // Tensors of a few hundred values: on a busy machine threads that wait for each other cost twenty times the work.
  StreamedGradientsTest() { at::set_num_threads(1); }
};

TEST_P(StreamedGradientsTest, AreThoseOfTheWholeStep) {
  const auto& [kind, hierarchy] = GetParam();
  for (const Shape& shape : {Shape{1, 1, 6, 2}, Shape{2, 2, 5, 1}, Shape{1, 5, 4, 3}, Shape{2, 8, 3, 2}}) {
    const config::ModelConfig config = model_config(kind, shape.layers);
    const data::TokenBatch batch = random_batch(shape, config.vocab_size);
    for (const auto& [bottleneck, shared] : {std::pair{true, true}, {true, false}, {false, true}, {false, false}}) {
      // Every pair of settings meets, at half the cost of every triple.
      const bool recompute = bottleneck ^ shared ^ (shape.batch == 2);
      SCOPED_TRACE(::testing::Message() << "B" << shape.batch << " N" << shape.segments << " S" << shape.segment_length
                                        << " layers " << shape.layers << " bottleneck " << bottleneck << " shared "
                                        << shared << " recompute " << recompute);
      TestModel test(config, hici_config(hierarchy, bottleneck, shared));
      expect_same_step(test, forward_options(shape, recompute), batch);
    }
  }
}

std::string case_name(const ::testing::TestParamInfo<StreamCase>& info) {
  const auto& [kind, hierarchy] = info.param;
  return std::string(kind.name) + "_" + name_of(hierarchy.mode) + (hierarchy.integrator ? "" : "_local_only");
}

// Mode none without a global integrator looks at no other segment.
INSTANTIATE_TEST_SUITE_P(
    Matrix, StreamedGradientsTest,
    ::testing::Combine(
        ::testing::Values(ModelKind{"llama_gqa", config::Family::kLlama, 2, false},
                          ModelKind{"llama_mha_tied", config::Family::kLlama, 4, true},
                          ModelKind{"qwen3_gqa", config::Family::kQwen3, 2, false},
                          ModelKind{"qwen3_gqa_tied", config::Family::kQwen3, 1, true}),
        ::testing::Values(HierarchyKind{CausalMode::kCausalGi, true}, HierarchyKind{CausalMode::kCausalShift, true},
                          HierarchyKind{CausalMode::kCausalShiftG, true},
                          HierarchyKind{CausalMode::kCausalGiGonly, true}, HierarchyKind{CausalMode::kCausalGi, false},
                          HierarchyKind{CausalMode::kCausalShift, false}, HierarchyKind{CausalMode::kNone, false})),
    case_name);

constexpr ModelKind kLlama{"llama_gqa", config::Family::kLlama, 2, false};
constexpr Shape kShape{2, 4, 3, 2};

TestModel shifted_model() {
  return {model_config(kLlama, kShape.layers), hici_config({CausalMode::kCausalShift, true}, true, true)};
}

// Right padding that ends in the middle of a segment, and a segment that is padding alone.
TEST(SegmentStreamingTest, PaddedSequencesGiveTheSameGradients) {
  for (const CausalMode mode : {CausalMode::kCausalGi, CausalMode::kCausalShift}) {
    TestModel test(model_config(kLlama, kShape.layers), hici_config({mode, true}, true, true));
    data::TokenBatch batch = random_batch(kShape, 23);
    nn::ForwardOptions forward = forward_options(kShape, false);
    forward.valid_BT = at::arange(12).unsqueeze(0).lt(at::tensor({7, 12}, at::kLong).unsqueeze(1));
    batch.labels_BT.masked_fill_(forward.valid_BT.logical_not(), ops::kIgnoredLabel);
    expect_same_step(test, forward, batch);
  }
}

nn::ForwardOptions with_dropout(nn::ForwardOptions forward, double rate) {
  forward.dropout = {rate, 5, {6, 3}};
  return forward;
}

constexpr HierarchyKind kHierarchies[] = {{CausalMode::kCausalGi, true},     {CausalMode::kCausalShift, true},
                                          {CausalMode::kCausalShiftG, true}, {CausalMode::kCausalGiGonly, true},
                                          {CausalMode::kCausalGi, false},    {CausalMode::kCausalShift, false}};

// The masks of tokens, slots and statistics are those of their places, whichever segment is in hand.
TEST(SegmentStreamingTest, DropoutOfAdaptersIsTheSame) {
  for (const HierarchyKind& kind : kHierarchies) {
    for (const bool bottleneck : {true, false}) {
      SCOPED_TRACE(::testing::Message() << name_of(kind.mode) << kind.integrator << bottleneck);
      TestModel test(model_config(kLlama, kShape.layers), hici_config(kind, bottleneck, bottleneck));
      data::TokenBatch batch = random_batch(kShape, 23);
      expect_same_step(test, with_dropout(forward_options(kShape, bottleneck), 0.3), batch);
    }
  }
}

std::map<std::string, at::Tensor> gradients_of(TestModel& test, const nn::ForwardOptions& forward) {
  whole_step(test.model, forward, random_batch(kShape, 23));
  return test.take_gradients();
}

TEST(SegmentStreamingTest, DropoutIsTheSameInLayersThatRunAgain) {
  for (const CausalMode mode : {CausalMode::kNone, CausalMode::kCausalGi}) {
    TestModel test(model_config(kLlama, kShape.layers), hici_config({mode, true}, true, true));
    nn::ForwardOptions forward = with_dropout(forward_options(kShape, false), 0.3);
    const auto expected = gradients_of(test, forward);
    for (const auto policy : {nn::ActivationPolicy::kRecompute, nn::ActivationPolicy::kRecomputeMlp}) {
      forward.policies.assign(static_cast<size_t>(kShape.layers), policy);
      for (const auto& [name, gradient] : gradients_of(test, forward))
        EXPECT_TRUE(gradient.equal(expected.at(name))) << name;
    }
    EXPECT_FALSE(nn::DropoutScope::current().any());
  }
}

double largest_difference(const std::map<std::string, at::Tensor>& a, const std::map<std::string, at::Tensor>& b) {
  double largest = 0;
  for (const auto& [name, t] : a) {
    const double scale = std::max(t.abs().max().item<double>(), 1e-12);
    largest = std::max(largest, (t - b.at(name)).abs().max().item<double>() / scale);
  }
  return largest;
}

// With keys, values and queries of the slots made one by one, as dropout needs them, and nothing dropped.
TEST(SegmentStreamingTest, DropoutOfAVanishingRateIsNone) {
  for (HierarchyKind kind :
       {kHierarchies[0], kHierarchies[1], kHierarchies[4], HierarchyKind{CausalMode::kNone, true}}) {
    for (const bool padded : {false, true}) {
      SCOPED_TRACE(::testing::Message() << name_of(kind.mode) << kind.integrator << padded);
      TestModel test(model_config(kLlama, kShape.layers), hici_config(kind, true, true));
      nn::ForwardOptions forward = forward_options(kShape, false);
      if (padded) forward.valid_BT = at::arange(12).unsqueeze(0).lt(at::tensor({7, 12}, at::kLong).unsqueeze(1));
      const auto expected = gradients_of(test, forward);
      EXPECT_LT(largest_difference(expected, gradients_of(test, with_dropout(forward, 1e-13))), kTolerance);
      EXPECT_GT(largest_difference(expected, gradients_of(test, with_dropout(forward, 0.1))), 0.01);
      EXPECT_EQ(largest_difference(expected, gradients_of(test, with_dropout(forward, 0))), 0);
    }
  }
}

// Another step, another sequence.
TEST(SegmentStreamingTest, DropoutDependsOnTheKeyAndOnTheNumbersOfTheSequences) {
  TestModel test(model_config(kLlama, kShape.layers), hici_config({CausalMode::kCausalGi, true}, true, true));
  nn::ForwardOptions forward = with_dropout(forward_options(kShape, false), 0.1);
  const auto first = gradients_of(test, forward);
  EXPECT_EQ(largest_difference(first, gradients_of(test, forward)), 0);
  for (const nn::Dropout& other : {nn::Dropout{0.1, 6, {6, 3}}, {0.1, 5, {7, 3}}, {0.1, 5, {6, 4}}}) {
    forward.dropout = other;
    EXPECT_GT(largest_difference(first, gradients_of(test, forward)), 1e-3);
  }
}

TEST(SegmentStreamingTest, PlainSegmentsWithoutAHierarchyStreamInOnePass) {
  config::HiciConfig none = hici_config({CausalMode::kNone, false}, true, true);
  none.use_local_constructor = false;
  TestModel test(model_config(kLlama, kShape.layers), none);
  nn::ForwardOptions forward = forward_options(kShape, true);
  forward.attention = nn::AttentionKind::kSegments;
  expect_same_step(test, forward, random_batch(kShape, 23));
}

TEST(SegmentStreamingTest, EveryPassIsTold) {
  TestModel test = shifted_model();
  std::vector<std::string> told;
  StreamEvents events;
  events.on_gradients = [&] { told.push_back("gradients"); };
  events.on_segment = [&](StreamPass pass, int64_t done, int64_t total) {
    told.push_back((pass == StreamPass::kStates ? "read " : "learned ") + std::to_string(done) + "/" +
                   std::to_string(total));
  };
  streamed_gradients(test.model, forward_options(kShape, false), random_batch(kShape, 23), 22, events);
  EXPECT_EQ(told, (std::vector<std::string>{"read 1/3", "read 2/3", "read 3/3", "gradients", "learned 1/4", "gradients",
                                            "learned 2/4", "gradients", "learned 3/4", "gradients", "learned 4/4"}));
}

TEST(SegmentStreamingTest, AStopSignalEndsEitherPassAtTheNextSegment) {
  for (const StreamPass pass : {StreamPass::kStates, StreamPass::kGradients}) {
    const StopSignals signals;
    TestModel test = shifted_model();
    int segments_after = 0;
    StreamEvents events;
    events.on_segment = [&](StreamPass now, int64_t done, int64_t) {
      if (stop_requested() != 0) ++segments_after;
      if (now == pass && done == 2) raise(SIGUSR1);
    };
    const data::TokenBatch batch = random_batch(kShape, 23);
    EXPECT_FALSE(streamed_gradients(test.model, forward_options(kShape, false), batch, 22, events).defined());
    EXPECT_EQ(segments_after, 0);
  }
  const StopSignals cleared;  // for the tests that follow in this process
}

TEST(SegmentStreamingTest, WhatCannotBeStreamedIsAUsageErrorWithTheWayOut) {
  const config::HiciConfig looks_ahead = hici_config({CausalMode::kNone, true}, true, true);
  EXPECT_THROW(check_streamable(nn::AttentionKind::kHici, looks_ahead), UsageError);
  EXPECT_ERROR_SAYS(check_streamable(nn::AttentionKind::kHici, looks_ahead), "use `causal_mode` causal_gi");
  const config::HiciConfig causal = hici_config({CausalMode::kCausalGi, true}, true, true);
  EXPECT_NO_THROW(check_streamable(nn::AttentionKind::kHici, causal));
  EXPECT_NO_THROW(check_streamable(nn::AttentionKind::kSegments, looks_ahead));  // there are no slots to look at
  for (const nn::AttentionKind attention : {nn::AttentionKind::kFull, nn::AttentionKind::kS2}) {
    EXPECT_THROW(check_streamable(attention, causal), UsageError);
    EXPECT_ERROR_SAYS(check_streamable(attention, causal), "use `attention` hici");
  }
}

}  // namespace
}  // namespace hici::train
