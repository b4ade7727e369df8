// SPDX-License-Identifier: Apache-2.0
#include "hici/train/trainer.h"

#include "hici/base/error.h"
#include "hici/base/signals.h"
#include "hici/hierarchy/hierarchy.h"
#include "hici/optim/trainable.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"
#include "support/tiny_config.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/grad_mode.h>

#include <gtest/gtest.h>

#include <limits>

namespace hici::train {
namespace {

config::ModelConfig tiny_model() {
  return testing::tiny_config(
      {.vocabulary = 32, .hidden = 16, .layers = 2, .heads = 2, .kv_heads = 2, .positions = 64});
}

struct TinyRun {
  testing::TemporaryFolder folder;
  nn::CausalLm model;
  std::optional<data::TokenFile> tokens;
  std::optional<data::TokenBlocks> blocks;
  config::TrainConfig config;
  std::vector<StepMetrics> steps;
  std::vector<int64_t> saves;
  bool has_hierarchy;  // causal_gi, four segments of four tokens
  std::function<void(StreamPass, int64_t, int64_t)> on_segment;

  explicit TinyRun(at::ScalarType type = at::kFloat, bool with_hierarchy = false)
      : model(tiny_model(), {type}), has_hierarchy(with_hierarchy) {
    config::HiciConfig hici;
    hici.num_local_slots = hici.global_slots = hici.num_heads = 2;
    hici.bottleneck_dim = hici.shared_compress_dim = 8;
    hici.causal_mode = config::CausalMode::kCausalGi;
    if (with_hierarchy) hierarchy::attach_hierarchy(model, hici, {type});
    at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(5);
    model.visit_parameters([&](const std::string&, at::Tensor& t) {
      t = at::randn(t.sizes(), generator, at::TensorOptions()).mul_(0.1).to(type);
    });
    std::vector<uint32_t> ids;
    for (uint32_t i = 0; i < 400; ++i) ids.push_back(i * i % 31);
    data::TokenFileWriter writer(folder.path() / "t.bin", data::TokenType::kUint16);
    writer.write(ids);
    writer.commit({.vocab_size = 32});
    tokens.emplace(data::TokenFile::open(folder.path() / "t.bin", {.vocab_size = 32}));
    blocks.emplace(*tokens, 16, "`model_max_length`");
    config.sequence_length = 16;
    config.max_steps = 6;
    config.warmup_steps = 0;
    config.accumulation_steps = 2;
    config.learning_rate = 1e-2;
    config.save_steps = 4;
  }

  RunEnd run(const nn::ActivationPolicies& policies = {}, const Progress& start = {}) {
    nn::ForwardOptions forward;
    forward.policies = policies;
    if (has_hierarchy) forward.attention = nn::AttentionKind::kHici;
    forward.segment_length = 4;
    TrainerEvents events;
    events.on_segment = on_segment;
    events.on_step = [&](const StepMetrics& metrics, bool) { steps.push_back(metrics); };
    events.save = [&](const Progress& progress) { saves.push_back(progress.step); };
    optim::TrainableSelection all;
    all.low_rank = false;
    const parallel::World world;
    ParameterShards shards(optim::select_trainable(model, all), world, config::ShardKind::kOptimizer);
    optim::AdamW optimizer(shards.updated(), {.weight_decay = config.weight_decay});
    Trainer trainer(model, forward, shards, optimizer, *blocks, config, events);
    return trainer.run(start);
  }
};

TEST(TrainerTest, LossFallsAndCheckpointsComeWhenDueAndAtTheEnd) {
  TinyRun run;
  EXPECT_EQ(run.run(), RunEnd::kFinished);
  ASSERT_EQ(run.steps.size(), 6u);
  EXPECT_LT(run.steps.back().loss, run.steps.front().loss);
  EXPECT_EQ(run.saves, (std::vector<int64_t>{4, 6}));
  EXPECT_EQ(run.steps.back().tokens, 6 * 2 * 16);
}

// Recomputed layers run the same operations on the same values: nothing may differ by a bit.
TEST(TrainerTest, RecomputationGivesTheSameLossesBitForBit) {
  TinyRun kept, recomputed;
  kept.run();
  recomputed.run(nn::ActivationPolicies(static_cast<size_t>(recomputed.model.config().num_hidden_layers),
                                        nn::ActivationPolicy::kRecompute));
  for (size_t i = 0; i < kept.steps.size(); ++i) EXPECT_EQ(kept.steps[i].loss, recomputed.steps[i].loss) << i;
}

TEST(TrainerTest, Bf16TrainsThroughFloat32MasterWeights) {
  TinyRun wide, narrow(at::kBFloat16);
  wide.run();
  narrow.run();
  // Weights and activations carry 8 bits: losses of about 3.4 agree to a few hundredths.
  for (size_t i = 0; i < wide.steps.size(); ++i) EXPECT_NEAR(narrow.steps[i].loss, wide.steps[i].loss, 0.05) << i;
}

TEST(TrainerTest, NonFiniteLossStopsWithStepAndBlocksAndMakesNoUpdate) {
  TinyRun run;
  run.model.visit_parameters([](const std::string& name, at::Tensor& t) {  // logits beyond float32 by finite weights
    if (name == "model.norm.weight") t.fill_(1e10);
    if (name == "lm_head.weight") t.mul_(1e30);
  });
  const at::Tensor head = run.model.head_weight().clone();
  const std::string message = testing::error_message([&] { run.run(); });
  EXPECT_NE(message.find("step 1"), std::string::npos) << message;
  EXPECT_NE(message.find("blocks"), std::string::npos) << message;
  EXPECT_EQ(message.find("-nan"), std::string::npos) << message;
  EXPECT_TRUE(at::equal(run.model.head_weight(), head));
  EXPECT_TRUE(run.saves.empty());
}

// It advised a lower rate.
TEST(TrainerTest, AWeightThatIsNoNumberIsNamedAtTheFirstStep) {
  TinyRun run;
  run.config.max_nonfinite_steps = 5;  // no further step is tried: the weights stay what they are
  run.model.embed_tokens()[4][1] = std::numeric_limits<float>::quiet_NaN();
  run.model.set_file_of("model.embed_tokens.weight", "base/model.safetensors");
  EXPECT_EQ(testing::error_message([&] { run.run(); }),
            "base/model.safetensors: tensor 'model.embed_tokens.weight' holds nan, so that the loss of step 1 is not "
            "finite; fetch the file again, or use another checkpoint");
}

TEST(TrainerTest, StreamedStepsGiveTheSameLossesInEveryType) {
  // Additions in another order: the last bits in float32; in bfloat16 the gradients are rounded once for each segment.
  for (const auto& [type, tolerance] : {std::pair{at::kFloat, 1e-4}, {at::kBFloat16, 0.03}}) {
    TinyRun whole(type, true), streamed(type, true);
    streamed.config.stream_segments = true;
    whole.run();
    streamed.run();
    ASSERT_EQ(streamed.steps.size(), 6u);
    EXPECT_LT(streamed.steps.back().loss, streamed.steps.front().loss);
    for (size_t i = 0; i < 6; ++i) EXPECT_NEAR(streamed.steps[i].loss, whole.steps[i].loss, tolerance) << i;
  }
}

TEST(TrainerTest, AStopInsideAStreamedStepDropsTheStepAndSavesTheStateBefore) {
  auto signals = std::make_unique<StopSignals>();
  TinyRun run(at::kFloat, true);
  run.config.stream_segments = true;
  int64_t passes = 0;  // two micro-batches a step
  run.on_segment = [&](StreamPass pass, int64_t done, int64_t) {
    if (pass == StreamPass::kGradients && done == 1 && ++passes == 6) raise(SIGTERM);
  };
  EXPECT_EQ(run.run(), RunEnd::kStopped);
  EXPECT_EQ(run.steps.size(), 2u);
  EXPECT_EQ(run.saves, (std::vector<int64_t>{2}));
  EXPECT_FALSE(run.model.embed_tokens().grad().defined());
  signals.reset();
  const StopSignals cleared;  // for the tests that follow in this process
}

TEST(TrainerTest, BatchesThatCannotBeReadEndTheRunWithTheirOwnError) {
  TinyRun run;
  std::filesystem::resize_file(run.folder.path() / "t.bin", 2 * 16 * 2);  // two blocks are left of 25
  const std::string message = testing::error_message([&] { run.run(); });
  EXPECT_NE(message.find("t.bin"), std::string::npos) << message;
}

TEST(SelectTrainableTest, MatricesDecayAndNormsDoNot) {
  TinyRun run(at::kFloat, true);
  optim::TrainableSelection all;
  all.low_rank = false;
  for (const optim::TrainedParameter& parameter : optim::select_trainable(run.model, all)) {
    EXPECT_EQ(parameter.decays, parameter.tensor.dim() >= 2) << parameter.name;
    EXPECT_TRUE(!parameter.decays || parameter.name.find("norm") == std::string::npos) << parameter.name;
  }
}

TEST(SelectTrainableTest, APartThatMatchesNothingIsAUsageError) {
  TinyRun run;
  optim::TrainableSelection selection;
  selection.name_parts = {"embed", "nrom"};
  EXPECT_THROW(optim::select_trainable(run.model, selection), UsageError);
}

}  // namespace
}  // namespace hici::train
