// SPDX-License-Identifier: Apache-2.0
#include "hici/io/merge.h"

#include "hici/base/file.h"
#include "hici/io/adapter.h"
#include "hici/io/extract.h"
#include "hici/io/random_model.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"
#include "support/tiny_config.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

namespace hici::io {
namespace {

using testing::TemporaryFolder;

const std::string kQuery = "model.layers.1.self_attn.q_proj.weight";

config::ModelConfig sizes() {
  return testing::tiny_config(
      {.vocabulary = 29, .hidden = 16, .layers = 2, .heads = 2, .kv_heads = 2, .positions = 32});
}

// A base, and an adapter with LoRA on every q_proj and a trained norm.
class MergeTest : public ::testing::Test {
 protected:
  void SetUp() override {
    at::manual_seed(1);
    write_random_model(folder_ / "base", {.config = sizes(), .seed = 5, .tokenizer_dir = {}});
    AdapterToWrite adapter;
    adapter.lora = {.rank = 2, .alpha = 6, .targets = {"q_proj"}};
    adapter.settings.context_size = 64;
    adapter.settings.rope_factor = 2;
    for (const char* layer : {"model.layers.0.self_attn.q_proj.", "model.layers.1.self_attn.q_proj."}) {
      adapter.lora_tensors.emplace_back(layer + std::string("lora_A.weight"), at::randn({2, 16}));
      adapter.lora_tensors.emplace_back(layer + std::string("lora_B.weight"), at::randn({16, 2}));
    }
    adapter.trainables.emplace_back("model.norm.weight", at::rand({16}) + 0.5);
    write_adapter(folder_ / "adapter", adapter);
    request_.model.base = folder_ / "base";
    request_.model.adapter = folder_ / "adapter";
    request_.output = folder_ / "merged";
  }

  // The stored weights, with one of them changed.
  void damage(const std::string& name, double by) const {
    const fs::path file = folder_ / "merged/model.safetensors";
    std::vector<TensorToWrite> tensors;
    const SafetensorsFile source(file);
    for (const auto& [each, ignored] : source.tensors()) {
      at::Tensor tensor = source.read(each);
      if (each == name) tensor.view({-1})[3] += by;
      tensors.emplace_back(each, tensor);
    }
    write_safetensors(file, tensors);
  }

  MergeResult merge() const {
    const OpenedModel opened = open_model(request_.model);
    return merge_adapter(request_, opened, opened.stored_hici());
  }

  MergeCheck check(at::ScalarType stored, const std::set<std::string>& rounded) const {
    const OpenedModel opened = open_model(request_.model);
    return check_merged({.model = request_.model,
                         .opened = opened,
                         .hici = opened.stored_hici(),
                         .merged = request_.output,
                         .stored = stored,
                         .with_hici = false,
                         .rounded = rounded,
                         .progress = {}});
  }

  TemporaryFolder folder_;
  MergeRequest request_;
};

TEST_F(MergeTest, IsBaseAndScaledProductRoundedOnce) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf}) {
    request_.dtype = dtype;
    request_.output = folder_ / c10::toString(dtype);
    const MergeResult result = merge();
    EXPECT_EQ(result.folded, 2U);
    EXPECT_EQ(result.replaced, 1U);
    EXPECT_EQ(result.config.rope.context_factor, 2);
    const SafetensorsFile merged(request_.output / "model.safetensors"), base(folder_ / "base/model.safetensors");
    const Adapter adapter = read_adapter(folder_ / "adapter");
    const std::string layer = kQuery.substr(0, kQuery.size() - 6);
    const at::Tensor delta = at::matmul(adapter.lora_tensors->read(layer + "lora_B.weight", at::kDouble),
                                        adapter.lora_tensors->read(layer + "lora_A.weight", at::kDouble)) *
                             3;
    const at::Tensor exact = base.read(kQuery, at::kDouble) + delta;
    // Half a step of the type, and the float32 sum before it.
    const double half_step = dtype == at::kFloat ? 0x1p-24 : dtype == at::kHalf ? 0x1p-11 : 0x1p-8;
    const at::Tensor error = (merged.read(kQuery, at::kDouble) - exact).abs();
    EXPECT_LE((error - exact.abs() * half_step).max().item<double>(), 1e-6);
    EXPECT_GT(delta.abs().max().item<double>(), 1) << "a product that does not show";
    EXPECT_TRUE(at::equal(merged.read("model.norm.weight"), adapter.trainables->read("model.norm.weight").to(dtype)));
    EXPECT_TRUE(at::equal(merged.read("lm_head.weight"), base.read("lm_head.weight").to(dtype)));
  }
}

TEST_F(MergeTest, AWeightThatIsNotBaseAndAdapterIsFound) {
  merge();
  EXPECT_NO_THROW(check(at::kFloat, {kQuery}));
  for (const std::string& name : {kQuery, std::string("model.embed_tokens.weight"), std::string("lm_head.weight"),
                                  std::string("model.norm.weight"), std::string("model.layers.0.mlp.up_proj.weight")}) {
    damage(name, 1e-4);
    EXPECT_ERROR_SAYS(check(at::kFloat, {kQuery}), "tensor '" + name + "' is ");
    EXPECT_ERROR_SAYS(check(at::kFloat, {kQuery}), "further from base and adapter than rounding explains");
    damage(name, -1e-4);
  }
}

// Another RoPE leaves every weight as it is, and shows in the logits.
TEST_F(MergeTest, LogitsBeyondTheRoundingAreFound) {
  merge();
  const MergeCheck good = check(at::kFloat, {kQuery});
  ASSERT_EQ(good.logits.size(), 1U);
  EXPECT_LT(good.logits[0].relative, good.logits[0].bound);
  const std::string config = read_file(folder_ / "merged/config.json", 1 << 20);
  std::string other = config;
  for (size_t at = other.find("2.0"); at != std::string::npos; at = other.find("2.0", at + 3))
    other.replace(at, 3, "4.0");
  write_file_atomically(folder_ / "merged/config.json", other);
  EXPECT_ERROR_SAYS(check(at::kFloat, {kQuery}), "logits with full attention differ from base and adapter by");
}

TEST_F(MergeTest, NothingAppearsWhenItFails) {
  const SafetensorsFile base(folder_ / "base/model.safetensors");
  std::vector<TensorToWrite> tensors;
  for (const auto& [name, ignored] : base.tensors())
    tensors.emplace_back(name, name == kQuery ? base.read(name) * 1e7 : base.read(name));
  write_safetensors(folder_ / "base/model.safetensors", tensors);
  request_.dtype = at::kHalf;
  EXPECT_ERROR_SAYS(merge(), "has values that float16 cannot hold (above 65504); use `torch_dtype` bfloat16");
  EXPECT_FALSE(fs::exists(request_.output));
  const auto entries = std::distance(fs::directory_iterator(folder_.path()), fs::directory_iterator{});
  EXPECT_EQ(entries, 2) << "something was left beside base and adapter";
}

// They used to be merged, or to be taken for values too large for float16.
TEST_F(MergeTest, WeightsThatAreNoNumbersAreNamed) {
  const auto with_nan = [](const fs::path& file, const std::string& damaged) {
    const SafetensorsFile source(file);
    std::vector<TensorToWrite> tensors;
    for (const auto& [name, ignored] : source.tensors()) {
      at::Tensor tensor = source.read(name);
      if (name == damaged) tensor.view({-1})[5].fill_(std::numeric_limits<double>::quiet_NaN());
      tensors.emplace_back(name, tensor);
    }
    write_safetensors(file, tensors);
  };
  const fs::path factors = folder_ / "adapter/adapter_model.safetensors", base = folder_ / "base/model.safetensors";
  const std::string layer = "model.layers.1.self_attn.q_proj.lora_B.weight";
  with_nan(factors, "base_model.model." + layer);
  for (const at::ScalarType dtype : {at::kFloat, at::kHalf}) {
    request_.dtype = dtype;
    EXPECT_ERROR_SAYS(merge(), "adapter_model.safetensors: tensor '" + layer + "' holds nan; fetch");
  }
  with_nan(base, "model.layers.0.mlp.up_proj.weight");
  EXPECT_ERROR_SAYS(merge(), "tensor 'model.layers.0.mlp.up_proj.weight' holds nan; fetch");
  EXPECT_FALSE(fs::exists(request_.output));
  EXPECT_ERROR_SAYS(extract_adapter({.checkpoint = folder_ / "adapter",
                                     .output = folder_ / "bin",
                                     .trainable_parts = {},
                                     .lora_alpha = {},
                                     .format = AdapterFormat::kBin,
                                     .progress = {}}),
                    "tensor '" + layer + "' holds nan; fetch");
  EXPECT_FALSE(fs::exists(folder_ / "bin"));
}

TEST_F(MergeTest, AnAdapterOfTheMergedModelMayBeMergedIntoIt) {
  merge();
  request_.model.base = folder_ / "merged";
  request_.output = folder_ / "twice";
  EXPECT_ERROR_SAYS(merge(), "merged: is a merged model already (");
  AdapterToWrite second;
  second.lora = {.rank = 1, .alpha = 1, .targets = {"k_proj"}};
  second.base_model = (folder_ / "merged").string();
  second.settings.context_size = 64;
  second.settings.rope_factor = 1;
  second.lora_tensors.emplace_back("model.layers.0.self_attn.k_proj.lora_A.weight", at::randn({1, 16}));
  second.lora_tensors.emplace_back("model.layers.0.self_attn.k_proj.lora_B.weight", at::randn({16, 1}));
  second.lora_tensors.emplace_back("model.layers.1.self_attn.k_proj.lora_A.weight", at::randn({1, 16}));
  second.lora_tensors.emplace_back("model.layers.1.self_attn.k_proj.lora_B.weight", at::randn({16, 1}));
  write_adapter(folder_ / "second", second);
  request_.model.adapter = folder_ / "second";
  EXPECT_EQ(merge().folded, 2U);
}

}  // namespace
}  // namespace hici::io
