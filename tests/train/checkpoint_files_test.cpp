// SPDX-License-Identifier: Apache-2.0
// What a checkpoint is counted to take, against the bytes of its files.
#include "hici/train/checkpoint_files.h"

#include "hici/hierarchy/hierarchy.h"
#include "hici/optim/trainable.h"
#include "support/temporary_folder.h"
#include "support/tiny_config.h"

#include <ATen/ATen.h>

#include <gtest/gtest.h>

#include <fstream>

namespace hici::train {
namespace {

namespace fs = std::filesystem;

struct Case {
  const char* name;
  at::ScalarType dtype;
  bool low_rank;
  bool is_sft = false;
};

constexpr Case kCases[] = {
    {"LoraHiciFloat32", at::kFloat, true},         {"LoraHiciBfloat16", at::kBFloat16, true},
    {"WholeModelFloat32", at::kFloat, false},      {"WholeModelBfloat16", at::kBFloat16, false},
    {"FineTuningFloat32", at::kFloat, true, true}, {"FineTuningBfloat16", at::kBFloat16, true, true},
};

io::LoadedModel model_of(const Case& c) {
  config::ModelConfig config =
      testing::tiny_config({.vocabulary = 96, .hidden = 32, .layers = 2, .heads = 2, .kv_heads = 2, .positions = 64});
  config.intermediate_size = 64;
  io::LoadedModel loaded;
  loaded.hici.num_local_slots = loaded.hici.global_slots = loaded.hici.num_heads = 2;
  loaded.hici.bottleneck_dim = loaded.hici.shared_compress_dim = 8;
  loaded.dtype = c.dtype;
  loaded.has_hierarchy = true;
  loaded.model = std::make_unique<nn::CausalLm>(config, nn::ParameterOptions{c.dtype});
  hierarchy::attach_hierarchy(*loaded.model, loaded.hici, {c.dtype});
  if (c.low_rank) {
    loaded.lora.emplace();
    loaded.lora->rank = 4;
    loaded.model->add_lora(*loaded.lora);
  }
  loaded.model->visit_parameters([&](const std::string&, at::Tensor& t) { t = at::randn(t.sizes()).to(c.dtype); });
  return loaded;
}

uint64_t bytes_in(const fs::path& folder) {
  uint64_t bytes = 0;
  for (const auto& entry : fs::directory_iterator(folder)) bytes += entry.file_size();
  return bytes;
}

class CheckpointBytesTest : public ::testing::TestWithParam<Case> {};

TEST_P(CheckpointBytesTest, CountedIsWithinFivePercentOfWhatIsWritten) {
  const Case& c = GetParam();
  const testing::TemporaryFolder folder;
  fs::create_directory(folder / "base");
  fs::create_directory(folder / "checkpoint");
  std::ofstream(folder / "base" / "tokenizer.json") << std::string(100'000, ' ');  // goes along with a whole model
  const io::LoadedModel loaded = model_of(c);
  TrainingRunSpec spec;
  spec.model = folder / "base";
  spec.dtype = c.dtype;
  spec.trainable.low_rank = c.low_rank;
  if (c.is_sft) spec.sft.emplace();
  const auto trained = optim::select_trainable(*loaded.model, spec.trainable);
  const parallel::World world;
  const ParameterShards shards(trained, world, config::ShardKind::kOptimizer);
  optim::AdamW optimizer(shards.updated(), {});
  const OptimizerState state(shards, optimizer);
  TrainingData data;
  data.identity = {"data.bin", std::string(64, 'f'), 1000};
  const CheckpointContent content{loaded, spec, trained, state, describe_run(spec, loaded, data)};

  const auto counted = static_cast<double>(checkpoint_bytes(content));
  write_checkpoint_files(folder / "checkpoint", content);
  const auto written = static_cast<double>(bytes_in(folder / "checkpoint"));
  EXPECT_NEAR(counted, written, 0.05 * written);
}

INSTANTIATE_TEST_SUITE_P(All, CheckpointBytesTest, ::testing::ValuesIn(kCases),
                         [](const auto& each) { return std::string(each.param.name); });

}  // namespace
}  // namespace hici::train
