// SPDX-License-Identifier: Apache-2.0
// The public command lines of the research code, LongLoRA, LongEval and LongBench, behind the command that does the
// work: each is read, or refused with the line that stands here.
#include "hici/commands/foreign_scripts.h"

#include "hici/base/error.h"
#include "hici/commands/bound_command.h"
#include "hici/commands/options/option_text.h"
#include "hici/commands/options/parse_options.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace hici::commands {
namespace {

const CommandEntry& entry_of(const std::string& name) {
  const auto& table = command_table();
  return *std::find_if(table.begin(), table.end(), [&](const auto& entry) { return entry.name == name; });
}

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  std::vector<std::string> words;
  for (std::string word; in >> word;) words.push_back(word);
  return words;
}

// "" where the line is read.
std::string script_error(const std::string& command, const std::string& line) {
  const BoundCommand bound = bind_command(entry_of(command));
  ::testing::internal::CaptureStderr();
  std::string error;
  try {
    parse_options(*bound.app, command, words_of(line));
  } catch (const UsageError& e) {
    error = e.what();
  }
  ::testing::internal::GetCapturedStderr();
  return error;
}

void expect_read(const std::string& command, const std::string& line) {
  EXPECT_EQ(script_error(command, line), "") << line;
}

const std::string kTrain =
    "--model_name_or_path models/base --bf16 True --output_dir checkpoints/run --cache_dir cache --model_max_length "
    "8192 "
    "--use_flash_attn True ";
const std::string kSteps =
    "--learning_rate 2e-5 --warmup_steps 20 --lr_scheduler_type constant_with_warmup --logging_steps 1 --deepspeed "
    "ds_configs/stage2.json --tf32 True --max_steps 1000 ";
const std::string kHici =
    "--num_local_slots 8 --global_slots 4 --num_heads 8 --use_bottleneck True --bottleneck_dim 512 "
    "--use_local_constructor True --use_global_integrator True --use_hierarchical_forward True "
    "--use_local_constructor_flash False ";
const std::string kHiciTraining = kHici +
                                  "--trainable_params embed,norm,local_constructor,global_integrator --hici_lr 2e-4 "
                                  "--hici_grad_clip 0.3 ";
// The scripts name their data themselves.
const std::string kData = "--data_path data/tokens.bin";

TEST(ForeignScriptsTest, PreTrainingOfTheResearchCode) {
  const std::string readme = kTrain +
                             "--low_rank_training True --num_train_epochs 1 --per_device_train_batch_size 2 "
                             "--gradient_accumulation_steps 8 " +
                             kSteps + "--num_chunks 4 --shared_compress_dim 128 " + kHiciTraining;
  expect_read("train", readme + "--use_llama_init False " + kData);
  expect_read("train", readme + "--use_attn_init False --save_steps 500 --save_total_limit 2 " + kData);
  const std::string script = kTrain +
                             "--low_rank_training True --num_train_epochs 1 --per_device_train_batch_size 1 "
                             "--per_device_eval_batch_size 2 --gradient_accumulation_steps 16 --save_strategy steps "
                             "--save_steps 250 --save_total_limit 4 --weight_decay 0.0 " +
                             kSteps + kHiciTraining;
  expect_read("train", script + "--evaluation_strategy no --shared_compress_dim 128 --use_llama_init False " + kData);
  expect_read("train", script + "--eval_strategy no --use_attn_init False " + kData);
  expect_read("train", script + "--recurrence_size 256 --use_yarn_rope False --use_flash_plus False " + kData);
  EXPECT_EQ(script_error("train", script), "--data_path: missing; give a value, 'hici help train' says what it is");
}

TEST(ForeignScriptsTest, FineTuningOfTheResearchCode) {
  expect_read("sft", kTrain +
                         "--resume_from_checkpoint checkpoints/first/checkpoint-1000 --data_path data/rows.json "
                         "--low_rank_training True --num_train_epochs 15 --per_device_train_batch_size 1 "
                         "--per_device_eval_batch_size 2 --gradient_accumulation_steps 8 --save_steps 500 "
                         "--save_total_limit 4 --num_chunks 4 --shared_compress_dim 128 --use_llama_init False " +
                         kSteps + kHiciTraining);
  const std::string qwen =
      "--model_name_or_path models/base --dataset_name org/chats --dataset_split train_sft --output_dir run "
      "--max_seq_length 8192 --bf16 True --per_device_train_batch_size 1 --gradient_accumulation_steps 8 "
      "--weight_decay 0.0 --save_strategy steps --save_steps 500 --save_total_limit 3 --gradient_checkpointing True "
      "--use_flash_attn True --low_rank_training True --lora_r 8 --lora_alpha 16 --recurrence_size 128 " +
      kSteps + kHiciTraining;
  expect_read("sft", qwen + "--model_max_length 49152 --pretrained_hici_path first/trainable_params.bin --data_path d");
  expect_read("sft", qwen + "--pretrained_memory_path first/trainable_params.bin --data_path d");
  EXPECT_EQ(script_error("sft", qwen), "--data_path: missing; give a value, 'hici help sft' says what it is");
}

TEST(ForeignScriptsTest, TrainingOfLongLora) {
  const std::string both =
      "--per_device_train_batch_size 1 --per_device_eval_batch_size 2 --gradient_accumulation_steps 8 "
      "--evaluation_strategy no --save_strategy steps --save_total_limit 2 --weight_decay 0.0 ";
  expect_read("train",
              kTrain + "--low_rank_training False --num_train_epochs 1 --save_steps 1000 " + both + kSteps + kData);
  expect_read("sft", kTrain + "--data_path rows.json --low_rank_training True --num_train_epochs 5 --save_steps 98 " +
                         both + kSteps);
  EXPECT_EQ(script_error("train", kTrain + kData + " --model_type gpt-neox"),
            "--model_type: gpt-neox is not supported; supported: llama, qwen3; models of these families are supported");
}

TEST(ForeignScriptsTest, WeightsInFewBits) {
  const std::string train = kTrain + kData;
  expect_read("train", train + " --full_determinism True --device cpu");
  expect_read("train", train + " --load_in_4bit False --load_in_8bit false");
  EXPECT_EQ(script_error("train", train + " --load_in_4bit"),
            "--load_in_4bit: True is not supported; supported: false; use --base_format nf4");
  EXPECT_EQ(script_error("sft", train + " --load_in_8bit True"),
            "--load_in_8bit: True is not supported; supported: false; use --base_format fp8");
  EXPECT_EQ(script_error("generate", "Why? --base_model base --load_in_4bit"),
            "--load_in_4bit: True is not supported; supported: false; use --base_format nf4");
}

TEST(ForeignScriptsTest, Perplexity) {
  const std::string hici =
      "--base_model base --data_path test.bin --seq_len 2048 --context_size 8192 --batch_size 1 "
      "--flash_attn True " +
      kHici;
  expect_read("eval ppl", hici + "--peft_model run/checkpoint-1000 --eval_mode full");
  expect_read("eval ppl", hici + "--peft_model run/checkpoint-2000 --eval_mode None --shared_compress_dim 128");
  expect_read("eval ppl",
              hici + "--eval_mode full --use_flash_plus False --recurrence_size 128 --progress_bar_fresh_rate 10");
  const std::string long_lora =
      "--seq_len 8192 --context_size 8192 --batch_size 1 --base_model base --data_path test.bin";
  expect_read("eval ppl", long_lora);
  expect_read("eval ppl", long_lora + " --peft_model run");
  const std::string chunks = "--model_path base --data_path test.bin --seq_len 65536 ";
  expect_read("eval ppl", chunks + "--pretraining_length 8192 --eval_mode dca");
  EXPECT_EQ(script_error("eval ppl", chunks + "--no_chunk"),
            "--no_chunk: attention is what --eval_mode says; use --eval_mode full");
}

TEST(ForeignScriptsTest, WeightsAndData) {
  for (const std::string parts : {"embed,norm", "embed,norm,local_constructor,global_integrator"})
    expect_read("extract", "--checkpoint_path run/checkpoint-1000 --trainable_params " + parts);
  const std::string merge = "--base_model base --peft_model run --context_size 8192 --save_path merged ";
  expect_read("merge", merge);
  expect_read("merge",
              merge + "--with_hici True --num_local_slots 8 --global_slots 4 --num_heads 8 --bottleneck_dim 512");
  expect_read("merge",
              merge + "--with_hici True --compress_dim 512 --shared_compress_dim 128 --use_flash_plus --cache_dir c");
  expect_read("tokenize", "--model_path base --text_file test.txt --output_dir data");
}

TEST(ForeignScriptsTest, Answers) {
  expect_read("eval passkey", "--context_size 32768 --base_model merged --max_tokens 32768 --interval 1000");
  expect_read("eval passkey",
              "--base_model merged --context_size 32768 --max_tokens 57344 --interval 1024 --num_tests 10 "
              "--flash_attn True --cache_dir cache");
  const std::string chat = "--base_model chat --context_size 32768 --max_gen_len 512 --flash_attn True ";
  expect_read("generate", chat + "--question Why? --material book.txt");
  expect_read("generate", chat + "Why? --cache_dir cache");
  expect_read("generate", chat + "--prompt Why? --temperature 0.6 --top_p 0.9 --cache_dir cache");
}

TEST(ForeignScriptsTest, Benchmarks) {
  const std::string topics =
      "--base_model chat --testcases topics/testcases --task topics --num_gpus 2 --max_gpu_memory 80 ";
  expect_read("eval topics", topics);
  expect_read("eval topics", topics + "--enable_longlora_flash_attn");
  expect_read("eval topics", topics + "--longchat_flash_attn");
  EXPECT_EQ(script_error("eval topics", "--model-name-or-path chat --task topics"),
            "--model_name_or_path: has another name here; use --base_model; --base_model: missing; give a value, 'hici "
            "help eval topics' says what it is");
  EXPECT_EQ(script_error("eval topics", topics + "--enable_hici_grouped_attn --hici_segment_size 2048"),
            "--enable_hici_grouped_attn: a prompt is one segment here; use --attention hici; --hici_segment_size: a "
            "prompt is one segment here; use --attention hici");
  EXPECT_EQ(script_error("eval topics", "--base_model chat --task lines"),
            "--task: lines is not supported; supported: topics; use hici eval lines");
  EXPECT_EQ(script_error("score topics", "--test_file 5_response.txt"),
            "--test_file: files of answers are given without an option; write them behind the command");
  expect_read("eval longbench", "--longbench_dir LongBench --base_model chat --output_suffix _hici --attention hici");
  EXPECT_EQ(script_error("eval longbench", "--longbench_dir L --base_model chat --model name --ori --suffix _ori"),
            "--model: pred.py's names of models are not known here; use --base_model and --label; --ori: full "
            "attention is the default; leave it out");
  EXPECT_EQ(script_error("eval longbench", "--longbench_dir L --base_model chat --use_hici_attn"),
            "--use_hici_attn: has another name here; use --attention hici");
  EXPECT_EQ(script_error("score longbench", "--model name_hici"),
            "--model: folders of predictions are given by their paths; write pred/NAME without an option");
  expect_read("bench step",
              "--model_path base --model_type llama --context_lengths 8192 16384 --batch_size 1 "
              "--warmup_steps 2 --measure_steps 3 --num_local_slots 8 --global_slots 4 --num_heads 8 "
              "--bottleneck_dim 512 --shared_compress_dim 128 --methods full_attn longlora hici");
}

// What becomes of every flag is in the table; whoever takes an option from a command is reminded of it here.
TEST(ForeignScriptsTest, EveryFlagHasAMeaningALineOrAWayOut) {
  for (const ForeignScript& script : foreign_scripts()) {
    if (*script.command == '\0') continue;
    const BoundCommand bound = bind_command(entry_of(script.command));
    std::set<std::string> seen;
    for (const std::string flag : script.flags) {
      EXPECT_NE(bound.app->get_option_no_throw("--" + flag), nullptr) << script.command << " --" << flag;
      EXPECT_TRUE(seen.insert(flag).second) << script.scripts << ": " << flag << " twice";
    }
  }
}

TEST(ForeignScriptsTest, TheTableSaysWhatTheCommandsDo) {
  const std::string text = foreign_flags_markdown();
  for (const std::string line :
       {"| `--label_smoothing_factor` | Only 0, without effect: the loss is cross entropy; for others: leave it out |",
        "| `--max_gen_len` | `--max_new_tokens` |",
        "| `--no_chunk` | Refused: attention is what --eval_mode says; use ",
        "**HiCI: prepare_eval_data.py**: `hici tokenize`\n\nThe same here: `--model_path`, `--text_file`, "
        "`--output_dir`.",
        "| `--recurrence_size` | Accepted without effect: the research code reads it and uses it nowhere |"})
    EXPECT_NE(text.find(line), std::string::npos) << line;
}

}  // namespace
}  // namespace hici::commands
