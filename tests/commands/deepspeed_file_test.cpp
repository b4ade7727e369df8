// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/deepspeed_file.h"

#include "hici/base/error.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <fstream>

namespace hici::commands {
namespace {

using config::ShardKind;

DeepspeedSettings parsed(const std::string& text) { return parse_deepspeed(text, "ds.json"); }
DeepspeedSettings zero(const std::string& inside) { return parsed(R"({"zero_optimization": {)" + inside + "}}"); }
DeepspeedSettings adam(const std::string& params) {
  return parsed(R"({"optimizer": {"type": "AdamW", "params": {)" + params + "}}}");
}

bool has(const std::set<std::string>& words, const std::string& word) { return words.contains(word); }

TEST(DeepspeedFileTest, TheResearchCodesStage2SaysShardOptimizerAlone) {
  const DeepspeedSettings said = parsed(R"({
    "train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto", "gradient_clipping": "auto",
    "zero_allow_untested_optimizer": true,
    "bf16": {"enabled": "auto", "loss_scale": 0, "initial_scale_power": 16, "loss_scale_window": 1000, "hysteresis": 2,
             "min_loss_scale": 1},
    "zero_optimization": {"stage": 2, "allgather_partitions": true, "allgather_bucket_size": 1e9, "reduce_scatter": true,
                          "reduce_bucket_size": 1e9, "overlap_comm": true, "contiguous_gradients": true}})");
  EXPECT_EQ(said.shard, ShardKind::kOptimizer);
  EXPECT_FALSE(said.bf16 || said.micro_batch_size || said.accumulation_steps || said.max_grad_norm || said.batch_size);
  EXPECT_FALSE(said.offload_weights || said.offload_optimizer || said.shard_group_size || said.learning_rate);
  EXPECT_TRUE(has(said.without_meaning, "overlap_comm") && has(said.without_meaning, "loss_scale"));
}

TEST(DeepspeedFileTest, AStage3FileWithOffloadingSaysFull) {
  const DeepspeedSettings said = parsed(R"({
    "bf16": {"enabled": true}, "fp16": {"enabled": false, "loss_scale": 0}, "gradient_clipping": 0.5,
    "optimizer": {"type": "AdamW", "params": {"lr": 3e-5, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": "auto"}},
    "zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu", "pin_memory": true},
      "offload_param": {"device": "cpu", "pin_memory": true}, "overlap_comm": true, "contiguous_gradients": true,
      "sub_group_size": 1e9, "reduce_bucket_size": "auto", "stage3_prefetch_bucket_size": "auto",
      "stage3_param_persistence_threshold": "auto", "stage3_max_live_parameters": 1e9, "stage3_max_reuse_distance": 1e9,
      "stage3_gather_16bit_weights_on_model_save": true, "zero_hpz_partition_size": 8},
    "steps_per_print": 2000, "train_batch_size": 64, "train_micro_batch_size_per_gpu": 1,
    "gradient_accumulation_steps": 8, "wall_clock_breakdown": false})");
  EXPECT_EQ(said.shard, ShardKind::kFull);
  EXPECT_EQ(said.shard_group_size, 8);
  EXPECT_EQ(said.offload_weights, true);
  EXPECT_EQ(said.offload_optimizer, true);
  EXPECT_EQ(said.bf16, true);
  EXPECT_EQ(said.max_grad_norm, 0.5);
  EXPECT_EQ(said.learning_rate, 3e-5);
  EXPECT_FALSE(said.weight_decay);
  EXPECT_EQ(said.batch_size, 64);
  EXPECT_EQ(said.micro_batch_size, 1);
  EXPECT_EQ(said.accumulation_steps, 8);
}

TEST(DeepspeedFileTest, StagesAreWaysToShard) {
  EXPECT_EQ(zero(R"("stage": 0)").shard, ShardKind::kNone);
  EXPECT_EQ(zero(R"("stage": 1)").shard, ShardKind::kOptimizer);
  EXPECT_EQ(zero(R"("stage": 3)").shard, ShardKind::kFull);
  EXPECT_EQ(zero(R"("stage": "auto")").shard, std::nullopt);
  EXPECT_EQ(parsed("{}").shard, std::nullopt);
  EXPECT_EQ(parsed(R"({"zero_optimization": true})").shard, ShardKind::kOptimizer);
  EXPECT_EQ(parsed(R"({"zero_optimization": false})").shard, ShardKind::kNone);
  EXPECT_ERROR_SAYS(zero(R"("stage": 4)"), "ds.json: zero_optimization: stage is 4, expected 0 to 3");
  EXPECT_ERROR_SAYS(zero(R"("stage": true)"), "stage is true, expected a whole number");
}

TEST(DeepspeedFileTest, OffloadingHasNewAndOldNames) {
  EXPECT_EQ(zero(R"("stage": 3, "cpu_offload_param": true)").offload_weights, true);
  EXPECT_EQ(zero(R"("stage": 3, "cpu_offload_params": true)").offload_weights, true);
  EXPECT_EQ(zero(R"("stage": 2, "cpu_offload": true)").offload_optimizer, true);
  EXPECT_EQ(zero(R"("stage": 2, "cpu_offload": false)").offload_optimizer, false);
  EXPECT_EQ(zero(R"("stage": 2, "offload_param": {"device": "none"})").offload_weights, false);
  EXPECT_EQ(zero(R"("stage": 3, "offload_param": {"pin_memory": true})").offload_weights, std::nullopt);
  EXPECT_EQ(zero(R"("stage": 3, "offload_optimizer": {"device": "cpu", "ratio": 1})").offload_optimizer, true);
  EXPECT_ERROR_SAYS(zero(R"("stage": 2, "cpu_offload": true, "offload_optimizer": {"device": "none"})"),
                    "cpu_offload contradicts offload_optimizer; remove one of them");
  EXPECT_ERROR_SAYS(zero(R"("stage": 2, "offload_param": {"device": "cpu"})"), "offload_param needs stage 3");
  EXPECT_ERROR_SAYS(zero(R"("offload_optimizer": {"device": "cpu"})"), "offload_optimizer needs stage 1, 2 or 3");
  EXPECT_ERROR_SAYS(zero(R"("stage": 3, "offload_param": {"device": "nvme", "nvme_path": "/x"})"),
                    "offload_param: device nvme: hici cannot offload to disks; use cpu, or none");
  EXPECT_ERROR_SAYS(zero(R"("stage": 3, "offload_param": {"device": "disk"})"), "device is 'disk'; use cpu or none");
  EXPECT_ERROR_SAYS(zero(R"("stage": 3, "offload_optimizer": {"device": "cpu", "ratio": 0.5})"),
                    "offload_optimizer: ratio 0.5: hici offloads all or nothing; remove it");
  EXPECT_ERROR_SAYS(zero(R"("stage": 3, "offload_param": {"devise": "cpu"})"), "'devise'; did you mean 'device'?");
}

TEST(DeepspeedFileTest, GroupsAreOfStage3) {
  EXPECT_EQ(zero(R"("stage": 3, "zero_hpz_partition_size": 4)").shard_group_size, 4);
  EXPECT_EQ(zero(R"("stage": 3, "mics_shard_size": 2)").shard_group_size, 2);
  EXPECT_EQ(zero(R"("stage": 3, "zero_hpz_partition_size": 1, "mics_shard_size": -1)").shard_group_size, std::nullopt);
  const DeepspeedSettings of_stage_2 = zero(R"("stage": 2, "zero_hpz_partition_size": 4)");
  EXPECT_EQ(of_stage_2.shard_group_size, std::nullopt);
  EXPECT_TRUE(has(of_stage_2.without_meaning, "zero_hpz_partition_size"));
  EXPECT_ERROR_SAYS(zero(R"("stage": 3, "zero_hpz_partition_size": 4, "mics_shard_size": 2)"),
                    "mics_shard_size contradicts");
  EXPECT_ERROR_SAYS(zero(R"("stage": 3, "zero_hpz_partition_size": -1)"),
                    "zero_hpz_partition_size is -1, expected 0 to");
}

TEST(DeepspeedFileTest, TheOptimizerIsAdamW) {
  EXPECT_EQ(adam(R"("lr": 1e-4, "weight_decay": 0.1, "betas": "auto", "eps": "auto")").weight_decay, 0.1);
  EXPECT_EQ(adam(R"("lr": "auto", "betas": ["auto", "auto"], "torch_adam": true)").learning_rate, std::nullopt);
  EXPECT_EQ(parsed(R"({"optimizer": {"type": "adam", "params": {"lr": 1e-4}}})").learning_rate, 1e-4);
  EXPECT_EQ(adam(R"("betas": [0.9, 0.95], "eps": 1e-6)").adam_beta2, 0.95);
  EXPECT_EQ(adam(R"("betas": [0.9, 0.95], "eps": 1e-6)").adam_epsilon, 1e-6);
  EXPECT_EQ(adam(R"("betas": ["auto", "auto"], "eps": "auto")").adam_beta1, std::nullopt);
  EXPECT_ERROR_SAYS(adam(R"("betas": 0.9)"),
                    "ds.json: optimizer: params: betas is 0.9, expected two numbers of 0 to below 1; write [0.9, "
                    "0.999] or \"auto\"");
  for (const std::string betas : {"[0.9]", "[0.9, 1]", "[-0.1, 0.9]", "[0.9, \"auto\"]", "[0.9, 0.9, 0.9]"})
    EXPECT_ERROR_SAYS(adam("\"betas\": " + betas), "expected two numbers");
  EXPECT_ERROR_SAYS(adam(R"("eps": -1)"), "eps is -1, expected 0 to 1");
  EXPECT_ERROR_SAYS(adam(R"("lr": -1)"), "lr is -1, expected 0 to 10");
  EXPECT_ERROR_SAYS(adam(R"("weight_decay": 1e300)"), "weight_decay is 1e+300, expected 0 to 100");
  EXPECT_ERROR_SAYS(adam(R"("bias_correction": false)"), "bias_correction is false");
  EXPECT_ERROR_SAYS(adam(R"("amsgrad": true)"), "amsgrad true: hici cannot do that");
  EXPECT_ERROR_SAYS(adam(R"("max_grad_norm": 1.0)"), "write gradient_clipping at the top");
  EXPECT_ERROR_SAYS(adam(R"("rate": 1)"), "unknown key 'rate'");
  EXPECT_ERROR_SAYS(parsed(R"({"optimizer": {"type": "Adam", "params": {"adam_w_mode": false}}})"),
                    "adam_w_mode is false");
  EXPECT_ERROR_SAYS(parsed(R"({"optimizer": {"type": "Lion"}})"), "type is 'Lion', hici trains with AdamW");
  EXPECT_ERROR_SAYS(parsed(R"({"optimizer": {"params": {"lr": 1}}})"), "has no type");
}

TEST(DeepspeedFileTest, SchedulesOfDeepSpeedAreRefusedWithOursBeside) {
  for (const auto& schedule : std::vector<std::pair<std::string, std::string>>{
           {"WarmupLR", "constant_with_warmup"}, {"WarmupDecayLR", "linear"}, {"WarmupCosineLR", "cosine"}}) {
    const auto& type = schedule.first;  // names of their own: clang before 16 captures no structured bindings
    const auto& ours = schedule.second;
    EXPECT_ERROR_SAYS(parsed(R"({"scheduler": {"type": ")" + type + R"(", "params": {"warmup_num_steps": "auto"}}})"),
                      "ds.json: scheduler: type " + type +
                          ": its rates are not those of any schedule here; remove the " +
                          "section, and type --lr_scheduler_type " + ours + " and --warmup_steps");
  }
  EXPECT_ERROR_SAYS(parsed(R"({"scheduler": {"type": "OneCycle"}})"), "type OneCycle");
  EXPECT_EQ(parsed(R"({"scheduler": {}})").shard, std::nullopt) << "no schedule";
}

TEST(DeepspeedFileTest, WhatChangesNumbersIsRefusedByName) {
  for (const std::string section :
       {"fp16", "amp", "torch_autocast", "curriculum_learning", "data_efficiency", "quantize_training",
        "progressive_layer_drop", "eigenvalue", "expert_parallel", "hybrid_engine", "elasticity", "autotuning"}) {
    EXPECT_ERROR_SAYS(parsed("{\"" + section + R"(": {"enabled": true}})"),
                      "ds.json: " + section + " is enabled: hici cannot do that");
    EXPECT_TRUE(has(parsed("{\"" + section + R"(": {"enabled": false, "more": 3}})").without_meaning, section))
        << section;
    EXPECT_NO_THROW(parsed("{\"" + section + R"(": {"enabled": "auto"}})")) << section;
  }
  for (const std::string section :
       {"sparse_attention", "compression_training", "weight_quantization", "pipeline", "tensor_parallel"}) {
    EXPECT_ERROR_SAYS(parsed("{\"" + section + R"(": {"mode": "fixed"}})"),
                      "ds.json: " + section + ": hici cannot do that");
    EXPECT_NO_THROW(parsed("{\"" + section + R"(": {}})")) << section;
  }
  for (const std::string flag :
       {"zero_quantized_weights", "zero_quantized_nontrainable_weights", "zero_quantized_gradients"}) {
    EXPECT_ERROR_SAYS(zero("\"stage\": 3, \"" + flag + "\": true"),
                      "zero_optimization: " + flag + " true: hici cannot do that");
    EXPECT_NO_THROW(zero("\"stage\": 3, \"" + flag + "\": false")) << flag;
  }
  EXPECT_ERROR_SAYS(zero(R"("stage": 2, "zenflow": {"topk_ratio": 0.1})"), "zenflow");
  EXPECT_ERROR_SAYS(parsed(R"({"sequence_parallel_size": 2})"),
                    "sequence_parallel_size 2: hici cannot do that; use --segment_parallel");
  EXPECT_NO_THROW(parsed(R"({"sequence_parallel_size": 1, "tensor_parallel": {"autotp_size": 0}})"));
  EXPECT_ERROR_SAYS(parsed(R"({"communication_data_type": "fp16"})"), "communication_data_type \"fp16\": hici cannot");
  EXPECT_NO_THROW(parsed(R"({"communication_data_type": "fp32", "data_types": {"grad_accum_dtype": "fp32"}})"));
  EXPECT_ERROR_SAYS(parsed(R"({"data_types": {"grad_accum_dtype": "bf16"}})"), "data_types: grad_accum_dtype \"bf16\"");
  EXPECT_ERROR_SAYS(parsed(R"({"gradient_allreduce_op": "sum"})"), "gradient_allreduce_op");
  EXPECT_ERROR_SAYS(parsed(R"({"bf16": {"enabled": true, "bf16_master_weights_and_grads": true}})"),
                    "master weights are float32");
  EXPECT_ERROR_SAYS(parsed(R"({"bf16": {"enabled": true}, "bfloat16": {"enabled": true}})"),
                    "two names of one section");
  EXPECT_TRUE(
      has(parsed(R"({"prescale_gradients": true})").without_meaning, "prescale_gradients (changes rounding alone)"));
}

TEST(DeepspeedFileTest, UnknownKeysAreNamedWithTheNearest) {
  EXPECT_ERROR_SAYS(parsed(R"({"gradient_clip": 1})"),
                    "ds.json: unknown key 'gradient_clip'; did you mean 'gradient_clipping'?");
  EXPECT_ERROR_SAYS(parsed(R"({"zero_optimisation": {"stage": 3}})"), "did you mean 'zero_optimization'?");
  EXPECT_ERROR_SAYS(zero(R"("stages": 3)"), "zero_optimization: unknown key 'stages'; did you mean 'stage'?");
  EXPECT_ERROR_SAYS(parsed(R"({"xyzzyxyzzy": null})"),
                    "unknown key 'xyzzyxyzzy'; DeepSpeed has none of that name: remove it");
}

// One line and exit code 2, whatever stands in the file.
TEST(DeepspeedFileTest, WhatIsNoSuchFileIsAUsageError) {
  for (const std::string text : {"",
                                 "[]",
                                 "3",
                                 "{",
                                 R"({"gradient_clipping": NaN})",
                                 R"({"gradient_clipping": -1})",
                                 R"({"gradient_clipping": 1e400})",
                                 R"({"gradient_clipping": 1e10})",
                                 R"({"gradient_clipping": "1"})",
                                 R"({"train_batch_size": 0})",
                                 R"({"train_batch_size": 1.5})",
                                 R"({"train_batch_size": 99999999999999999999})",
                                 R"({"train_batch_size": [1]})",
                                 R"({"train_micro_batch_size_per_gpu": 1048577})",
                                 R"({"gradient_accumulation_steps": -3})",
                                 R"({"bf16": true})",
                                 R"({"bf16": {"enabled": 1}})",
                                 R"({"zero_optimization": 2})",
                                 R"({"zero_optimization": {"offload_param": "cpu"}})",
                                 R"({"zero_optimization": {"cpu_offload": "yes"}})",
                                 R"({"optimizer": "AdamW"})",
                                 R"({"optimizer": {"type": 3}})",
                                 R"({"optimizer": {"type": "AdamW", "params": []}})",
                                 R"({"scheduler": "WarmupLR"})",
                                 R"({"fp16": "on"})",
                                 R"({"zero_optimization": {"stage": 2}, "zero_optimization": {"stage": 3}})"}) {
    EXPECT_THROW(parsed(text), UsageError) << text;
    const std::string message = testing::error_message([&] { parsed(text); });
    EXPECT_TRUE(message.starts_with("ds.json: ")) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

// Cut short, and with other bytes, at every place.
TEST(DeepspeedFileTest, DamageIsTakenOrRefusedInOneLine) {
  const std::string whole = R"({"bf16": {"enabled": true}, "train_batch_size": 8, "gradient_clipping": 0.5,
      "optimizer": {"type": "AdamW", "params": {"lr": 1e-4, "betas": [0.9, 0.999]}}, "data_types": {"grad_accum_dtype": "fp32"},
      "zero_optimization": {"stage": 3, "offload_param": {"device": "cpu", "ratio": 1}, "mics_shard_size": -1}})";
  std::vector<std::string> damaged;
  for (size_t at = 0; at < whole.size(); ++at) {
    damaged.push_back(whole.substr(0, at));
    for (const char byte : {'"', '{', ']', '9', '-', '\0', '\n', '\xff'}) {
      damaged.push_back(whole);
      damaged.back()[at] = byte;
    }
  }
  size_t refused = 0;
  for (const std::string& text : damaged) {
    try {
      parsed(text);
    } catch (const UsageError& e) {
      ++refused;
      EXPECT_TRUE(testing::is_one_clean_line(e.what())) << text;
    }
  }
  EXPECT_GT(refused, damaged.size() / 2);
}

TEST(DeepspeedFileTest, AFileThatIsNotThereOrCannotBeReadIsAUsageError) {
  const testing::TemporaryFolder folder;
  EXPECT_ERROR_SAYS(read_deepspeed_file(folder / "ds.json"), "ds.json: is not there; leave the option out");
  EXPECT_THROW(read_deepspeed_file(folder / "ds.json"), UsageError);
  EXPECT_THROW(read_deepspeed_file(folder.path()), UsageError);
  std::ofstream(folder / "ds.json") << R"({"gradient_clipping": 0})";
  EXPECT_EQ(read_deepspeed_file(folder / "ds.json").max_grad_norm, 0);
}

}  // namespace
}  // namespace hici::commands
