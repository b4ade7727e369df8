// SPDX-License-Identifier: Apache-2.0
// What one call of `hici train` or `hici sft` is to do, as its options say.
#pragma once

#include "hici/config/base_format.h"
#include "hici/config/hici_config.h"
#include "hici/config/sharding.h"
#include "hici/config/train_config.h"
#include "hici/data/token_mix.h"
#include "hici/data/token_sidecar.h"
#include "hici/io/load_model.h"
#include "hici/nn/activation_policy.h"
#include "hici/nn/attention/attention_kind.h"
#include "hici/optim/trainable.h"

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace hici::train {

// Supervised fine-tuning: examples instead of blocks of text.
struct SftSpec {
  std::string prompt_style = "llama2";  // parse_enum<data::PromptStyle>()
  int64_t max_samples = 0;              // 0: all
  int64_t segment_length = 0;           // 0: a sequence is one segment
  bool packing = false;
};

// Evaluation between steps, on data that are not trained on.
struct EvaluationSpec {
  std::filesystem::path data_path;  // of the kinds that the run's own data may have
  std::string split = {};           // of an Arrow data set with several; empty: that of training
  int64_t steps = 0;                // between two evaluations; 0: those of --save_steps
  int64_t batch_size = 0;           // sequences in one forward; 0: that of training
  bool on_start = false;            // also before the first step
  bool loads_best = false;          // what the run says to do next is for the best checkpoint
};

// What a model writes behind a prompt.
struct Sample {
  std::string text;  // without the prompt
  int64_t tokens = 0;
  std::string finish_reason;  // as `hici generate` calls it
};
using Sampler = std::function<Sample()>;

struct TrainingRunSpec;

// A sample at every evaluation. Generation is no part of this library's training: who makes the spec brings it.
struct SampleSpec {
  std::string prompt;
  // Once, before the first step, in one process. `is_chat`: most examples are conversations. The model is lent.
  std::function<Sampler(const TrainingRunSpec& spec, const io::LoadedModel& loaded, bool is_chat)> make;
};

struct TrainingRunSpec {
  std::filesystem::path model;  // --model_name_or_path
  std::filesystem::path output_dir;
  std::filesystem::path data_path;  // a token file, or text (data::is_text_source) that is tokenized first; or examples
  std::vector<data::MixPart> mix = {};  // --data_mix: several data sets with weights, in place of data_path
  std::optional<SftSpec> sft = {};      // nullopt: pre-training
  std::optional<EvaluationSpec> evaluation = {};
  std::optional<SampleSpec> sample = {};
  bool packs_documents = false;     // pre-training: whole documents to a row, which do not see each other
  std::string text_field = "text";  // of text data
  std::string split = "train";
  // As the user said; else the file's sidecar or the vocabulary decides.
  std::optional<data::TokenTypeChoice> token_type = {};
  std::filesystem::path init_adapter;
  // "", "latest" or a checkpoint directory. Fine-tuning starts afresh from the weights of a checkpoint of pre-training.
  std::string resume;
  bool allow_changes_on_resume = false;
  bool dry_run = false;           // all that comes before the first step, with nothing written
  bool overwrite_output = false;  // checkpoints of another run in output_dir are moved aside
  nn::AttentionKind attention = nn::AttentionKind::kHici;
  config::LoraConfig lora;
  optim::TrainableSelection trainable;
  config::TrainConfig train;
  config::Sharding sharding;
  int64_t memory_limit = 0;                        // bytes of the GPU that this process may have; 0: what is free
  int64_t segment_processes = 1;                   // that share a sequence
  std::set<std::string> typed_start_options = {};  // of TrainingState::start_options, by name
  bool copy_attention_init = false;
  bool add_pad_token = false;
  config::BaseFormat base_format = config::BaseFormat::kModel;  // of frozen projections and MLPs
  std::optional<nn::ActivationPolicy> activation_policy = {};   // nullopt: what fits the GPU; on a CPU keep
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;
  ops::AttentionBackend attention_backend = ops::AttentionBackend::kAuto;
  // Text of the options in force, kept as options.ini in the output directory: `in_force` has the values that the
  // model's files decided, by the options' names.
  std::function<std::string(const std::map<std::string, std::string>& in_force)> effective_options;
};

}  // namespace hici::train
