// SPDX-License-Identifier: Apache-2.0
// One attention layer in every mode against the reference, outputs and gradients of every parameter, in float64.
#include "hici/config/rope.h"
#include "hici/hierarchy/hierarchy.h"
#include "hici/io/safetensors.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <gtest/gtest.h>

#include <filesystem>
#include <map>

namespace hici {
namespace {

// Relative to the largest value of a tensor: both sides round in float64 (1e-16) over sums of a few hundred terms and
// through a softmax; 1e-9 is the bound that the specification asks for.
constexpr double kLayerTolerance = 1e-9;

struct LayerCase {
  int shape;
  std::string mode;
  std::string mask;
};

std::string case_name(const ::testing::TestParamInfo<LayerCase>& info) {
  return "shape" + std::to_string(info.param.shape) + "_" + info.param.mode + "_" + info.param.mask;
}

std::vector<LayerCase> all_cases() {
  std::vector<LayerCase> cases;
  for (int shape = 0; shape < 4; ++shape) {
    for (const char* mode : {"none", "causal_gi", "causal_shift", "causal_shift_g", "causal_gi_gonly", "full"}) {
      for (const char* mask : {"all", "padded"}) cases.push_back({shape, mode, mask});
    }
    cases.push_back({shape, "s2", "all"});
  }
  return cases;
}

class GoldenLayer {
 public:
  explicit GoldenLayer(int shape)
      : file_(io::SafetensorsFile(std::filesystem::path(HICI_GOLDEN_DIR) / "layers" /
                                  ("shape" + std::to_string(shape) + ".safetensors"))) {}

  at::Tensor tensor(const std::string& name) const { return file_.read(name); }
  bool has(const std::string& name) const { return file_.has(name); }
  double number(const std::string& key) const { return std::stod(file_.metadata().at(key)); }
  int64_t integer(const std::string& key) const { return static_cast<int64_t>(number(key)); }

  config::ModelConfig model_config() const {
    config::ModelConfig config;
    config.family = file_.metadata().at("qk_norm") == "True" ? config::Family::kQwen3 : config::Family::kLlama;
    config.hidden_size = integer("hidden_size");
    config.num_attention_heads = integer("num_attention_heads");
    config.num_key_value_heads = integer("num_key_value_heads");
    config.head_dim = integer("head_dim");
    config.rms_norm_eps = number("rms_norm_eps");
    config.rope.theta = number("rope_theta");
    config.rope.context_factor = number("rope_factor");
    return config;
  }

  config::HiciConfig hici_config(const std::string& mode) const {
    config::HiciConfig config;
    config.num_local_slots = tensor("param.local_constructor.memory_slots").size(0);
    config.global_slots = tensor("param.global_integrator.global_queries").size(0);
    config.bottleneck_dim = tensor("param.global_integrator.global_queries").size(1);
    config.num_heads = integer("hici_heads");
    config.shared_compressor = has("param.global_integrator.shared_compressor.0.weight");
    if (config.shared_compressor)
      config.shared_compress_dim = tensor("param.global_integrator.shared_compressor.0.weight").size(0);
    config.causal_mode = parse_enum<config::CausalMode>(mode, "mode");
    return config;
  }

 private:
  io::SafetensorsFile file_;
};

struct LayerUnderTest {
  nn::Attention attention;
  std::map<std::string, at::Tensor> parameters;
};

LayerUnderTest build_layer(const GoldenLayer& golden, const std::string& mode, bool with_adapter = true) {
  const nn::ParameterOptions options{at::kDouble};
  const config::ModelConfig config = golden.model_config();
  LayerUnderTest layer{nn::Attention(config, options), {}};
  const bool is_causal_mode = mode != "full" && mode != "s2" && mode != "dca";
  layer.attention.hierarchy = std::make_unique<hierarchy::Hierarchy>(golden.hici_config(is_causal_mode ? mode : "none"),
                                                                     config.hidden_size, options);
  if (with_adapter) {
    layer.attention.add_lora("param", {.rank = golden.integer("lora_rank"), .alpha = golden.number("lora_alpha")});
  }
  layer.attention.visit_parameters("param", [&](const std::string& name, at::Tensor& parameter) {
    const at::Tensor value = golden.tensor(name);
    EXPECT_EQ(value.sizes(), parameter.sizes()) << name;
    parameter = value.clone().requires_grad_();
    layer.parameters[name] = parameter;
  });
  return layer;
}

nn::AttentionInputs make_inputs(const GoldenLayer& golden, const config::ModelConfig& config, const LayerCase& c,
                                int64_t length) {
  nn::AttentionInputs inputs;
  const nn::SegmentInputs segments{length / golden.integer("num_segments")};
  if (c.mode == "s2") {
    inputs.kind = nn::ShiftedInputs{segments};
  } else if (c.mode != "full") {
    inputs.kind = nn::HierarchicalInputs{segments};
  }
  if (c.mask == "padded") inputs.common.valid_BT = golden.tensor("valid");
  inputs.common.rotary = ops::make_rotary_tables(config::rope_inverse_frequencies(config.rope, config.head_dim), 1.0, 0,
                                                 length, at::kDouble, at::kCPU);
  return inputs;
}

void expect_close(const at::Tensor& got, const at::Tensor& expected, const std::string& what) {
  ASSERT_EQ(got.sizes(), expected.sizes()) << what;
  const double scale = std::max(1e-12, expected.abs().max().item<double>());
  EXPECT_LE((got - expected).abs().max().item<double>() / scale, kLayerTolerance) << what;
}

class LayerGoldenTest : public ::testing::TestWithParam<LayerCase> {};

TEST_P(LayerGoldenTest, OutputAndAllGradientsMatchTheReference) {
  const LayerCase c = GetParam();
  const GoldenLayer golden(c.shape);
  const LayerUnderTest layer = build_layer(golden, c.mode);
  const at::Tensor x = golden.tensor("x").clone().requires_grad_();
  const nn::AttentionInputs inputs = make_inputs(golden, golden.model_config(), c, x.size(1));
  const at::Tensor y = layer.attention.forward(x, inputs);
  torch::autograd::backward({(y * golden.tensor("dy")).sum()}, {});

  const std::string prefix = c.mode + "/" + c.mask + "/";
  expect_close(y, golden.tensor(prefix + "y"), "y");
  expect_close(x.grad(), golden.tensor(prefix + "dx"), "dx");
  int compared = 0;
  for (const auto& [name, parameter] : layer.parameters) {
    const std::string key = prefix + "grad." + name.substr(std::string("param.").size());
    if (!golden.has(key)) {
      EXPECT_FALSE(parameter.grad().defined() && parameter.grad().abs().max().item<double>() > 0)
          << name << " should have no gradient";
      continue;
    }
    ASSERT_TRUE(parameter.grad().defined()) << name;
    expect_close(parameter.grad(), golden.tensor(key), name);
    ++compared;
  }
  EXPECT_GE(compared, 12);  // q, k, v, o with both halves of their adapters, at the least
}

// A baseline for base models: no adapters, and no backward.
TEST(LayerGoldenDcaTest, OutputMatchesTheReference) {
  const at::NoGradGuard no_grad;
  for (int shape = 0; shape < 4; ++shape) {
    const GoldenLayer golden(shape);
    const LayerUnderTest layer = build_layer(golden, "dca", /*with_adapter=*/false);
    const config::ModelConfig config = golden.model_config();
    const at::Tensor x = golden.tensor("x");
    const config::DualChunk sizes{golden.integer("dca_chunk_len"), golden.integer("dca_chunk_size")};
    const auto frequencies =
        ops::make_rotary_frequencies(config::rope_inverse_frequencies(config.rope, config.head_dim), 1.0, at::kCPU);
    for (const ops::AttentionBackend backend : {ops::AttentionBackend::kFlash, ops::AttentionBackend::kMath}) {
      const nn::AttentionInputs inputs{{.backend = backend},
                                       nn::DualChunkInputs{ops::make_dual_chunk_tables(
                                           frequencies, sizes, at::arange(x.size(1), at::kLong), at::kDouble)}};
      expect_close(layer.attention.forward(x, inputs), golden.tensor("dca/all/y"),
                   "y of shape " + std::to_string(shape));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(AllModes, LayerGoldenTest, ::testing::ValuesIn(all_cases()), case_name);

}  // namespace
}  // namespace hici
