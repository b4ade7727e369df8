// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/deepspeed_options.h"

#include "hici/base/error.h"
#include "hici/commands/options/training_options.h"
#include "support/error_message.h"

#include <gtest/gtest.h>

namespace hici::commands {
namespace {

using Texts = std::map<std::string, std::string>;

// Options as typed behind --model_name_or_path and the like, with a file of `text` applied in `data_processes`.
struct Applied {
  TrainingOptions options;
  CLI::App app;
  Texts decided;

  Applied(const std::string& text, const std::string& arguments, int64_t data_processes = 1) {
    options.bind_how_to_train(app);
    options.bind_rest(app);
    app.parse(arguments);
    options.deepspeed = "ds.json";
    decided = apply_deepspeed(parse_deepspeed(text, "--deepspeed: ds.json"), data_processes, options);
  }
};

std::string applied_error(const std::string& text, const std::string& arguments, int64_t data_processes = 1) {
  const auto apply = [&] { Applied(text, arguments, data_processes); };
  EXPECT_THROW(apply(), UsageError) << text << " " << arguments;
  return testing::error_message(apply);
}

TEST(DeepspeedOptionsTest, WhatIsNotTypedIsTheFiles) {
  const Applied applied(R"({"gradient_clipping": 0.5, "bf16": {"enabled": true},
      "optimizer": {"type": "AdamW", "params": {"lr": 3e-5, "weight_decay": 0.01, "betas": [0.8, 0.99], "eps": 1e-6}},
      "zero_optimization": {"stage": 3, "zero_hpz_partition_size": 4, "offload_param": {"device": "cpu"},
                            "offload_optimizer": {"device": "cpu"}}})",
                        "");
  const TrainingOptions& o = applied.options;
  EXPECT_EQ(o.spec.train.max_grad_norm, 0.5);
  EXPECT_EQ(o.spec.train.learning_rate, 3e-5);
  EXPECT_EQ(o.spec.train.weight_decay, 0.01);
  EXPECT_EQ(o.spec.train.adam_beta1, 0.8);
  EXPECT_EQ(o.spec.train.adam_beta2, 0.99);
  EXPECT_EQ(o.spec.train.adam_epsilon, 1e-6);
  EXPECT_EQ(o.device.resolve_dtype(at::kCPU), at::kBFloat16);
  const config::Sharding sharding = o.sharding.resolve();
  EXPECT_EQ(sharding.kind, config::ShardKind::kFull);
  EXPECT_EQ(sharding.group_size, 4);
  EXPECT_TRUE(sharding.offload_weights && sharding.offload_optimizer);
  EXPECT_EQ(applied.decided, (Texts{{"adam_beta1", "0.8"},
                                    {"adam_beta2", "0.99"},
                                    {"adam_epsilon", "1e-06"},
                                    {"bf16", "True"},
                                    {"learning_rate", "3e-05"},
                                    {"max_grad_norm", "0.5"},
                                    {"offload", "weights,optimizer"},
                                    {"shard", "full"},
                                    {"shard_group_size", "4"},
                                    {"weight_decay", "0.01"}}));
}

TEST(DeepspeedOptionsTest, WhatTheFileLeavesOpenIsTheOptions) {
  const Applied applied(R"({"gradient_clipping": "auto", "bf16": {"enabled": "auto"}, "zero_optimization": {"stage": 2},
      "train_batch_size": "auto", "train_micro_batch_size_per_gpu": "auto", "gradient_accumulation_steps": "auto",
      "optimizer": {"type": "AdamW", "params": {"lr": "auto", "betas": "auto", "eps": "auto", "weight_decay": "auto"}}})",
                        "--max_grad_norm 0.25 --gradient_accumulation_steps 4 --learning_rate 1e-3 --bf16");
  EXPECT_EQ(applied.decided, (Texts{{"shard", "optimizer"}}));
  EXPECT_EQ(applied.options.spec.train.max_grad_norm, 0.25);
  EXPECT_EQ(applied.options.spec.train.accumulation_steps, 4);
  EXPECT_EQ(Applied("{}", "").decided, (Texts{{"shard", "none"}})) << "no zero_optimization is stage 0";
  EXPECT_EQ(Applied("{}", "--shard optimizer").options.sharding.shard.value, "optimizer")
      << "of which the file says nothing";
}

TEST(DeepspeedOptionsTest, TypedValuesMayRepeatTheFile) {
  const Applied applied(R"({"gradient_clipping": 0.5, "bf16": {"enabled": true}, "train_batch_size": 16,
      "train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 8,
      "zero_optimization": {"stage": 3, "offload_param": {"device": "cpu"}, "offload_optimizer": {"device": "none"}}})",
                        "--max_grad_norm 0.5 --bf16 --shard full --offload weights --per_device_train_batch_size 1 "
                        "--gradient_accumulation_steps 8",
                        2);
  EXPECT_EQ(applied.decided, Texts{});
}

TEST(DeepspeedOptionsTest, TypedValuesThatContradictTheFileAreUsageErrors) {
  const std::string end = "; leave the option out, or write \"auto\" in the file";
  EXPECT_EQ(applied_error(R"({"gradient_clipping": 0.5})", "--max_grad_norm 1"),
            "--deepspeed: ds.json: gradient_clipping 0.5 contradicts --max_grad_norm 1" + end);
  EXPECT_EQ(applied_error(R"({"zero_optimization": {"stage": 3}})", "--shard optimizer"),
            "--deepspeed: ds.json: zero_optimization (--shard full) contradicts --shard optimizer" + end);
  EXPECT_EQ(
      applied_error(R"({"zero_optimization": {"stage": 3, "offload_param": {"device": "cpu"}}})",
                    "--offload optimizer"),
      "--deepspeed: ds.json: zero_optimization: offload_param to cpu contradicts --offload without weights" + end);
  EXPECT_EQ(
      applied_error(R"({"zero_optimization": {"stage": 3, "offload_param": {"device": "none"}}})", "--offload weights"),
      "--deepspeed: ds.json: zero_optimization: offload_param to none contradicts --offload weights" + end);
  EXPECT_EQ(applied_error(R"({"zero_optimization": {"stage": 3, "mics_shard_size": 2}})", "--shard_group_size 4"),
            "--deepspeed: ds.json: zero_optimization: groups of 2 contradicts --shard_group_size 4" + end);
  const std::string adam = R"({"optimizer": {"type": "AdamW", "params": {"lr": 1e-4, "weight_decay": 0.5}}})";
  EXPECT_EQ(applied_error(adam, "--learning_rate 2e-4"),
            "--deepspeed: ds.json: optimizer: params: lr 0.0001 contradicts --learning_rate 0.0002" + end);
  EXPECT_EQ(applied_error(adam, "--weight_decay 0"),
            "--deepspeed: ds.json: optimizer: params: weight_decay 0.5 contradicts --weight_decay 0" + end);
  EXPECT_EQ(applied_error(R"({"train_micro_batch_size_per_gpu": 2})", "--per_device_train_batch_size 1"),
            "--deepspeed: ds.json: train_micro_batch_size_per_gpu 2 contradicts --per_device_train_batch_size 1" + end);
  EXPECT_EQ(applied_error(R"({"gradient_accumulation_steps": 2})", "--gradient_accumulation_steps 8"),
            "--deepspeed: ds.json: gradient_accumulation_steps 2 contradicts --gradient_accumulation_steps 8" + end);
  EXPECT_EQ(applied_error(R"({"bf16": {"enabled": true}})", "--bf16 False"),
            "--deepspeed: ds.json: bf16: enabled True contradicts --bf16 False" + end);
  EXPECT_EQ(applied_error(R"({"bf16": {"enabled": true}})", "--dtype float32"),
            "--deepspeed: ds.json: bf16: enabled true contradicts --dtype float32" + end);
  EXPECT_EQ(applied_error(R"({"bf16": {"enabled": false}})", "--bf16"),
            "--deepspeed: ds.json: bf16: enabled false contradicts --bf16 True" + end);
  EXPECT_EQ(applied_error(R"({"bf16": {"enabled": false}})", "--dtype bfloat16"),
            "--deepspeed: ds.json: bf16: enabled false contradicts --dtype bfloat16" + end);
}

TEST(DeepspeedOptionsTest, WithoutBfloat16TheRunIsFloat32) {
  const Applied applied(R"({"bf16": {"enabled": false}})", "");
  EXPECT_EQ(applied.options.device.resolve_dtype(at::Device(at::kCUDA, 0)), at::kFloat);
  EXPECT_EQ(Applied(R"({"bf16": {"enabled": false}})", "--dtype float64").options.device.dtype, "float64");
}

// micro-batch, accumulation
using Batch = std::pair<int64_t, int64_t>;

Batch batch_of(const std::string& text, const std::string& arguments, int64_t data_processes) {
  const Applied applied(text, arguments, data_processes);
  return {applied.options.spec.train.batch_size, applied.options.spec.train.accumulation_steps};
}

TEST(DeepspeedOptionsTest, TheThirdNumberOfABatchFollows) {
  EXPECT_EQ(batch_of(R"({"train_batch_size": 24, "train_micro_batch_size_per_gpu": 2})", "", 4), Batch(2, 3));
  EXPECT_EQ(batch_of(R"({"train_batch_size": 24, "gradient_accumulation_steps": 3})", "", 4), Batch(2, 3));
  EXPECT_EQ(batch_of(R"({"train_batch_size": 24})", "", 4), Batch(6, 1)) << "as DeepSpeed has it";
  EXPECT_EQ(batch_of(R"({"train_batch_size": 24})", "--per_device_train_batch_size 1", 4), Batch(1, 6));
  EXPECT_EQ(batch_of(R"({"train_batch_size": 24})", "--gradient_accumulation_steps 2", 4), Batch(3, 2));
  EXPECT_EQ(batch_of(R"({"train_micro_batch_size_per_gpu": 3, "gradient_accumulation_steps": 5})", "", 4), Batch(3, 5));
  EXPECT_EQ(batch_of(R"({"train_micro_batch_size_per_gpu": 3})", "", 4), Batch(3, 8)) << "the option's own";
}

TEST(DeepspeedOptionsTest, ABatchThatIsNoProductShowsItsNumbers) {
  EXPECT_EQ(
      applied_error(
          R"({"train_batch_size": 64, "train_micro_batch_size_per_gpu": 1, "gradient_accumulation_steps": 8})", "", 4),
      "--deepspeed: ds.json: train_batch_size 64 is not --per_device_train_batch_size 1 x "
      "--gradient_accumulation_steps 8 x "
      "4 processes side by side; correct one of them, or write \"auto\" in the file");
  EXPECT_NE(applied_error(R"({"train_batch_size": 7, "train_micro_batch_size_per_gpu": 2})", "").find("7 is not"),
            std::string::npos);
  EXPECT_NE(applied_error(R"({"train_batch_size": 3})", "", 4).find("3 is no multiple of the 4 processes"),
            std::string::npos);
  EXPECT_NE(applied_error(R"({"train_batch_size": 1000000000000})", "").find("more than 1048576"), std::string::npos);
}

}  // namespace
}  // namespace hici::commands
