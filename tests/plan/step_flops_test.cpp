// SPDX-License-Identifier: Apache-2.0
#include "hici/plan/step_flops.h"

#include "hici/hierarchy/hierarchy.h"
#include "hici/nn/causal_lm.h"
#include "hici/ops/linear_cross_entropy.h"
#include "hici/ops/segment_attention.h"
#include "hici/optim/trainable.h"
#include "support/tiny_config.h"

#include <ATen/ATen.h>
#include <ATen/record_function.h>
#include <torch/csrc/autograd/autograd.h>

#include <gtest/gtest.h>

#include <string>

namespace hici::plan {
namespace {

config::ModelConfig tiny_model() {
  return testing::tiny_config({.vocabulary = 16, .hidden = 8, .layers = 1, .heads = 2, .kv_heads = 1, .positions = 64});
}

config::HiciConfig tiny_hici() {
  config::HiciConfig config;
  config.num_segments = 2;
  config.num_local_slots = config.global_slots = config.num_heads = config.shared_compress_dim = 2;
  config.bottleneck_dim = 4;
  return config;
}

// 8 tokens in two segments of 4.
StepShape tiny_shape() {
  return {.batch = 1,
          .tokens = 8,
          .attention = nn::AttentionKind::kHici,
          .segment_length = 4,
          .hici = tiny_hici(),
          .lora_rank = 1};
}

TEST(StepFlopsTest, CountsATinyModelAsByHand) {
  const StepFlops flops = count_step_flops(tiny_model(), tiny_shape());
  // A token: q and o 2 * 8 * 8 each, k and v 2 * 8 * 4 each, MLP 3 * 2 * 8 * 12: 960. Adapters 2 * 1 * (in + out): 112.
  EXPECT_EQ(flops.forward.linear, 8 * (960 + 112));
  EXPECT_EQ(flops.backward.linear, 8 * (960 + 2 * 112));
  // Two segments, each 4 * 5 / 2 pairs of its own and 4 tokens that see 2 + 2 slots; H D = 8.
  EXPECT_EQ(count_attention_pairs(tiny_shape()), 2 * (10 + 16));
  EXPECT_EQ(flops.forward.attention, 4 * 8 * 52);
  EXPECT_EQ(flops.backward.attention, 10 * 8 * 52);
  EXPECT_EQ(flops.forward.loss, 8 * 2 * 8 * 16);
  EXPECT_EQ(flops.backward.loss, 8 * 2 * 8 * 16);
  // Queries 128 + 48 of the adapter, adapters into W_k and W_v 2 * 64, queries through W_k 128, scores and means
  // 2 * 2 * 8 * 8 * 4, values 256, the way back 256 + 96.
  const double local = 128 + 48 + 128 + 128 + 1024 + 256 + 256 + 96;
  // One row: compressor 160 + 80, q 64 + 32, k and v 2 * (160 + 80), scores and values 2 * 80, o 96, expansion 128.
  const double global = 160 + 80 + 96 + 480 + 160 + 96 + 128;
  // 2 segments * 4 slots through k and v: 512, and 192 for the adapter.
  EXPECT_EQ(flops.forward.hici, local + global + 2 * (512 + 192));
  EXPECT_EQ(flops.backward.hici, 2 * local + 2 * global + 2 * (512 + 2 * 192));
  EXPECT_EQ(flops.recomputation(), flops.forward.linear + flops.forward.attention + flops.forward.hici);
}

TEST(StepFlopsTest, CountsThePairsOfEachKindOfAttention) {
  StepShape shape = tiny_shape();
  shape.hici->causal_mode = config::CausalMode::kCausalShift;  // the first segment sees no slots
  EXPECT_EQ(count_attention_pairs(shape), 2 * 10 + 16);
  shape.hici->causal_mode = config::CausalMode::kCausalGiGonly;  // global slots alone
  EXPECT_EQ(count_attention_pairs(shape), 2 * (10 + 8));
  shape.hici.reset();
  EXPECT_EQ(count_attention_pairs(shape), 2 * 10);
  shape.attention = nn::AttentionKind::kFull;
  EXPECT_EQ(count_attention_pairs(shape), 36);
  shape.attention = nn::AttentionKind::kS2;  // half of the heads 4 + 4, the others 2 + 4 + 2
  EXPECT_EQ(count_attention_pairs(shape), 0.5 * (10 + 10) + 0.5 * (3 + 10 + 3));
}

// Products that LibTorch is asked for, 2 n k m each. Those into a given tensor or added to one have names of their own.
double products_seen = 0;

std::unique_ptr<at::ObserverContext> count_product(const at::RecordFunction& fn) {
  const std::string name = fn.name();
  const bool adds =
      name == "aten::addmm" || name == "aten::addmm_" || name == "aten::baddbmm" || name == "aten::baddbmm_";
  const size_t first = adds ? 1 : 0;
  if (first == 0 && name != "aten::mm" && name != "aten::bmm") return nullptr;
  const at::Tensor left = fn.inputs()[first].toTensor(), right = fn.inputs()[first + 1].toTensor();
  products_seen += 2.0 * static_cast<double>(left.numel()) * static_cast<double>(right.size(-1));
  return nullptr;
}

void run_step(const config::ModelConfig& config, const StepShape& shape, bool recompute) {
  nn::CausalLm model(config, {});
  if (shape.hici) hierarchy::attach_hierarchy(model, *shape.hici, {});
  if (shape.lora_rank > 0) model.add_lora({.rank = shape.lora_rank});
  model.visit_parameters([](const std::string&, at::Tensor& t) { t = at::ones(t.sizes()) * 0.02; });
  optim::select_trainable(model, {});
  const at::Tensor tokens = at::randint(config.vocab_size, {shape.batch, shape.tokens}, at::kLong);
  const nn::ActivationPolicies policies(recompute ? model.layers().size() : 0, nn::ActivationPolicy::kRecompute);
  const at::Tensor hidden = model.forward_hidden(tokens, {shape.attention, shape.segment_length, {}, policies});
  const at::Tensor loss =
      ops::linear_cross_entropy(hidden.view({-1, hidden.size(-1)}), model.head_weight(), tokens.view(-1));
  torch::autograd::backward({loss}, {});
}

template <typename Action>
double count_products(const Action& action) {
  products_seen = 0;
  const auto handle = at::addGlobalCallback(
      at::RecordFunctionCallback(count_product).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  action();
  at::removeCallback(handle);
  return products_seen;
}

// Products in the attention of all layers. Over own tokens it is one operator of LibTorch; slots go through products
// that have more zeros than factors.
double count_products_of_attention(const config::ModelConfig& config, const StepShape& shape, bool recompute) {
  if (!shape.hici) return 0;
  const config::CausalMode mode = shape.hici->causal_mode;
  const bool is_shifted = mode == config::CausalMode::kCausalShift || mode == config::CausalMode::kCausalShiftG;
  const bool hides_local = mode == config::CausalMode::kCausalShiftG || mode == config::CausalMode::kCausalGiGonly;
  const int64_t segments = shape.batch * (shape.tokens / shape.segment_length - (is_shifted ? 1 : 0));
  const int64_t slots = shape.hici->global_slots + (hides_local ? 0 : shape.hici->num_local_slots);
  auto random = [&](int64_t length, int64_t heads) {
    return at::randn({segments, length, heads, config.head_dim}).requires_grad_();
  };
  const at::Tensor q = random(shape.segment_length, config.num_attention_heads);
  const at::Tensor k = random(shape.segment_length, config.num_key_value_heads);
  const at::Tensor slot_k = random(slots, config.num_key_value_heads);
  at::Tensor out;
  const double forward = count_products([&] { out = ops::segment_attention({q, k, k, slot_k, slot_k}); });
  const double backward = count_products([&] { torch::autograd::backward({out.sum()}, {}); });
  return static_cast<double>(config.num_hidden_layers) * (forward * (recompute ? 2 : 1) + backward);
}

double count_products_of_step(const config::ModelConfig& config, const StepShape& shape, bool recompute) {
  return count_products([&] { run_step(config, shape, recompute); }) -
         count_products_of_attention(config, shape, recompute);
}

// Attention is left out on both sides.
double without_attention(const StepFlops& flops) {
  return flops.model() - flops.forward.attention - flops.backward.attention;
}

TEST(StepFlopsTest, EqualsTheProductsThatLibTorchIsAskedFor) {
  config::ModelConfig config = tiny_model();
  config.num_hidden_layers = 2;
  const auto modes = names_of(config::CausalMode{});
  for (const auto& [mode, name] : modes.all) {
    StepShape shape = tiny_shape();
    shape.batch = 3;
    shape.tokens = 16;
    shape.hici->causal_mode = mode;
    for (const bool shared : {true, false}) {
      shape.hici->shared_compressor = shared;
      const StepFlops flops = count_step_flops(config, shape);
      EXPECT_EQ(count_products_of_step(config, shape, false), without_attention(flops)) << name << shared;
      EXPECT_EQ(count_products_of_step(config, shape, true),
                without_attention(flops) + flops.recomputation() - flops.forward.attention)
          << name << shared;
    }
  }
}

TEST(StepFlopsTest, EqualsTheProductsOfModelsWithoutHierarchyAndWithATiedHead) {
  config::ModelConfig config = tiny_model();
  config.tie_word_embeddings = true;
  StepShape shape;
  shape.batch = 2;
  shape.tokens = 8;
  shape.lora_rank = 3;
  shape.trains_head = true;
  EXPECT_EQ(count_products_of_step(config, shape, false), without_attention(count_step_flops(config, shape)));
  shape.attention = nn::AttentionKind::kS2;
  shape.segment_length = 4;
  EXPECT_EQ(count_products_of_step(config, shape, false), without_attention(count_step_flops(config, shape)));
}

}  // namespace
}  // namespace hici::plan
