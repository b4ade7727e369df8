// SPDX-License-Identifier: Apache-2.0
// Sequences that stand in one row, or in rows with empty segments behind them, against each of them alone, in float64.
#include "hici/hierarchy/hierarchy.h"
#include "hici/nn/causal_lm.h"
#include "support/tiny_config.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <torch/csrc/autograd/autograd.h>

#include <gtest/gtest.h>

namespace hici::hierarchy {
namespace {

using config::CausalMode;

// The sums of a few hundred float64 terms in another order.
constexpr double kTolerance = 1e-11;
constexpr int64_t kSegment = 4;

nn::CausalLm random_model(CausalMode mode, bool has_adapters = false) {
  config::ModelConfig config =
      testing::tiny_config({.vocabulary = 23, .hidden = 16, .layers = 2, .heads = 4, .kv_heads = 2, .positions = 64},
                           config::Family::kQwen3);
  config.intermediate_size = 20;
  config.head_dim = 6;
  config::HiciConfig hici;
  hici.num_local_slots = hici.global_slots = hici.num_heads = 2;
  hici.bottleneck_dim = 8;
  hici.shared_compress_dim = 4;
  hici.causal_mode = mode;
  nn::CausalLm model(config, {at::kDouble});
  attach_hierarchy(model, hici, {at::kDouble});
  if (has_adapters) model.add_lora({.rank = 2, .alpha = 4});
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(7);
  model.visit_parameters([&](const std::string& name, at::Tensor& t) {
    t = at::randn(t.sizes(), generator, at::TensorOptions().dtype(at::kDouble)).mul_(0.3);
    if (name.find("norm") != std::string::npos) t.add_(1);
    t.requires_grad_();
  });
  return model;
}

// A sequence of `length` tokens, padded to `padded`.
struct Sequence {
  int64_t length, padded;
};

struct Packed {
  at::Tensor tokens_BT, valid_BT, weights_BTC;  // weights: zero where there is padding
};

Packed rows_of(const std::vector<std::vector<Sequence>>& rows, int64_t length) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(8);
  const std::vector<int64_t> shape{static_cast<int64_t>(rows.size()), length};
  Packed packed{at::zeros(shape, at::kLong), at::zeros(shape, at::kBool), {}};
  for (size_t b = 0; b < rows.size(); ++b) {
    int64_t begin = 0;
    for (const Sequence& sequence : rows[b]) {
      const at::Tensor row = packed.tokens_BT[static_cast<int64_t>(b)].narrow(0, begin, sequence.length);
      row.copy_(at::randint(23, {sequence.length}, generator, at::TensorOptions().dtype(at::kLong)));
      packed.valid_BT[static_cast<int64_t>(b)].narrow(0, begin, sequence.length).fill_(true);
      begin += sequence.padded;
    }
  }
  packed.weights_BTC = at::randn({shape[0], length, 16}, generator, at::TensorOptions().dtype(at::kDouble)) *
                       packed.valid_BT.unsqueeze(-1);
  return packed;
}

std::vector<at::Tensor> take_gradients(nn::CausalLm& model) {
  std::vector<at::Tensor> all;
  model.visit_parameters([&](const std::string&, at::Tensor& t) {
    all.push_back(t.grad().defined() ? t.grad().clone() : at::zeros_like(t));
    t.mutable_grad().reset();
  });
  return all;
}

// Hidden states and gradients of all parameters: everything at once, then sequence by sequence without any padding
// behind its last segment.
void expect_each_alone(nn::CausalLm& model, nn::ForwardOptions forward, const std::vector<std::vector<Sequence>>& rows,
                       int64_t length) {
  const Packed packed = rows_of(rows, length);
  nn::ForwardOptions together = forward;
  together.valid_BT = packed.valid_BT;
  for (const auto& row : rows) {
    auto& lengths = together.sequences.emplace_back();
    for (const Sequence& sequence : row) lengths.push_back(sequence.padded);
  }
  const at::Tensor hidden = model.forward_hidden(packed.tokens_BT, together);
  torch::autograd::backward({(hidden * packed.weights_BTC).sum()}, {});
  const std::vector<at::Tensor> gradients = take_gradients(model);
  for (size_t b = 0; b < rows.size(); ++b) {
    int64_t begin = 0;
    for (const Sequence& sequence : rows[b]) {
      auto cut = [&](const at::Tensor& t) {
        return t.narrow(0, static_cast<int64_t>(b), 1).narrow(1, begin, sequence.padded);
      };
      forward.valid_BT = cut(packed.valid_BT);
      const at::Tensor alone = model.forward_hidden(cut(packed.tokens_BT), forward);
      EXPECT_TRUE(at::allclose(alone.narrow(1, 0, sequence.length), cut(hidden).narrow(1, 0, sequence.length),
                               kTolerance, kTolerance));
      torch::autograd::backward({(alone * cut(packed.weights_BTC)).sum()}, {});
      begin += sequence.padded;
    }
  }
  const std::vector<at::Tensor> expected = take_gradients(model);
  for (size_t i = 0; i < expected.size(); ++i) {
    const double scale = std::max(1.0, expected[i].abs().max().item<double>());
    EXPECT_LT((gradients[i] - expected[i]).abs().max().item<double>(), kTolerance * scale) << "parameter " << i;
  }
}

TEST(SequencesTest, EachGivesWhatItGivesAloneInEveryMode) {
  for (const CausalMode mode : {CausalMode::kNone, CausalMode::kCausalGi, CausalMode::kCausalShift,
                                CausalMode::kCausalShiftG, CausalMode::kCausalGiGonly}) {
    nn::CausalLm model = random_model(mode);
    nn::ForwardOptions forward;
    forward.attention = nn::AttentionKind::kHici;
    forward.segment_length = kSegment;
    expect_each_alone(model, forward, {{{7, 8}, {4, 4}, {2, 4}}, {{12, 12}}}, 16);
  }
}

// Each has masks of its own: equal tokens at two places of a row give other numbers.
TEST(SequencesTest, DropoutOfAdaptersIsOfTheirPlaces) {
  for (const CausalMode mode : {CausalMode::kNone, CausalMode::kCausalGi, CausalMode::kCausalShift}) {
    const nn::CausalLm model = random_model(mode, /*has_adapters=*/true);
    const at::Tensor tokens = at::arange(8).repeat({1, 2});
    const auto hidden = [&](double rate, int64_t segment_length) {
      nn::ForwardOptions forward;
      if (segment_length > 0) forward.attention = nn::AttentionKind::kHici;
      forward.segment_length = segment_length;
      forward.sequences = {{8, 8}};
      forward.dropout = {rate, 1, {0}};
      return model.forward_hidden(tokens, forward);
    };
    for (const int64_t segment_length : {kSegment, int64_t{0}}) {
      const at::Tensor none = hidden(0, segment_length), some = hidden(0.2, segment_length);
      EXPECT_TRUE(at::allclose(none, hidden(1e-13, segment_length), kTolerance, kTolerance));
      EXPECT_TRUE(at::allclose(none.narrow(1, 0, 8), none.narrow(1, 8, 8), kTolerance, kTolerance));
      EXPECT_GT((some.narrow(1, 0, 8) - some.narrow(1, 8, 8)).abs().max().item<double>(), 1e-3);
    }
  }
}

TEST(SequencesTest, EachGivesWhatItGivesAloneWithOtherAttention) {
  nn::CausalLm model = random_model(CausalMode::kCausalGi);
  nn::ForwardOptions forward;
  expect_each_alone(model, forward, {{{7, 7}, {3, 3}}, {{9, 9}}}, 11);  // full
  forward.attention = nn::AttentionKind::kHici;                         // one segment of the sequence's length
  expect_each_alone(model, forward, {{{7, 7}, {3, 3}}, {{9, 9}}}, 11);
  forward.attention = nn::AttentionKind::kS2;
  forward.segment_length = kSegment;
  expect_each_alone(model, forward, {{{7, 8}, {4, 4}}, {{12, 12}}}, 12);
}

}  // namespace
}  // namespace hici::hierarchy
