// SPDX-License-Identifier: Apache-2.0
#include "hici/train/run_messages.h"

#include "hici/base/human.h"
#include "hici/base/log.h"
#include "hici/io/checkpoint/store.h"
#include "hici/ops/types.h"
#include "hici/plan/step_traffic.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

namespace hici::train {
namespace {

constexpr int64_t kWindowsToTry = 64;
constexpr int64_t kUsualStride = 256;  // the default of hici eval ppl

std::string four_decimals(double value) {
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.4f", value);
  return text.data();
}

std::string segments_text(const TrainingRunSpec& spec, const io::LoadedModel& loaded) {
  if (!spec.sft) return counted(loaded.hici.num_segments, "segment");
  return spec.sft->segment_length == 0 ? "one segment" : "segments of " + counted(spec.sft->segment_length, "token");
}

// What cuts the sequence, and what its segments see of each other: nothing where neither is used.
std::string structure_text(const TrainingRunSpec& spec, const io::LoadedModel& loaded) {
  if (spec.attention == nn::AttentionKind::kFull) return "";
  const bool has_slots = spec.attention == nn::AttentionKind::kHici && loaded.has_hierarchy;
  const std::string mode = has_slots ? hici::detail::concat(", causal mode ", name_of(loaded.hici.causal_mode))
                                     : std::string(spec.attention == nn::AttentionKind::kHici ? " without slots" : "");
  return ", " + segments_text(spec, loaded) + mode;
}

const char* eval_mode_of(nn::AttentionKind attention) {
  if (attention == nn::AttentionKind::kFull) return "full";
  return attention == nn::AttentionKind::kS2 ? "s2" : "hici";
}

// Options without which another device, type or kernel than the run's would do the work.
std::string machine_options(const TrainingRunSpec& spec) {
  std::string text = " `device` " + spec.device.str();
  if (spec.dtype != (spec.device.is_cuda() ? at::kBFloat16 : at::kFloat))
    text += std::string(" `dtype` ") + ops::dtype_name(spec.dtype);
  if (spec.attention_backend != ops::AttentionBackend::kAuto)
    text += " `attention_backend` " + std::string(name_of(spec.attention_backend));
  return text;
}

// Base and adapter, or the whole model that the run has made. Its folder stands for its newest checkpoint.
std::string model_options(const TrainingRunSpec& spec, int64_t total_steps, std::optional<int64_t> best) {
  const std::string checkpoint = shell_word(io::checkpoint_path(spec.output_dir, best.value_or(total_steps)).string());
  if (!spec.trainable.low_rank) return " `base_model` " + checkpoint;
  return " `base_model` " + shell_word(spec.model.string()) + " `peft_model` " +
         (best ? checkpoint : shell_word(spec.output_dir.string()));
}

// Where epochs are no whole number of steps: Trainer ends each with a shorter one.
void log_end_of_epochs(const config::TrainConfig& train, int64_t num_samples, int64_t total_steps) {
  if (train.max_steps > 0) return;
  const auto asked = static_cast<int64_t>(std::floor(train.num_epochs * static_cast<double>(num_samples)));
  const int64_t taken = total_steps * train.sequences_per_step();
  const std::string epochs = shortest_number(train.num_epochs) + (train.num_epochs == 1 ? " epoch" : " epochs");
  if (taken < asked)
    log_info(epochs, " of ", counted(num_samples, "sequence"), ": no step is short, so the last ",
             asked - taken == 1 ? "sequence is" : std::to_string(asked - taken) + " are", " left out; `max_steps` ",
             total_steps + 1, " takes them too");
  if (taken > asked)
    log_info(epochs, " of ", counted(num_samples, "sequence"), " ", num_samples == 1 ? "is" : "are",
             " less than a step of ", train.sequences_per_step(), ": sequences come more than once in it");
}

}  // namespace

void log_start(const TrainingRunSpec& spec, const io::LoadedModel& loaded,
               const std::vector<optim::TrainedParameter>& trained, const TrainingData& data, int64_t total_steps) {
  int64_t counts[optim::kNumGroups] = {};
  for (const auto& parameter : trained) counts[static_cast<int>(parameter.group)] += parameter.tensor.numel();
  const std::string parts = counts[0] > 0 ? hici::detail::concat(" (HiCI ", counts[0], ", rest ", counts[1], ")") : "";
  log_info("model ", spec.model.string(), ": ", loaded.model->num_parameters(), " parameters, trained ",
           counts[0] + counts[1], parts);
  log_info("attention ", nn::attention_kind_name(spec.attention), ", ", ops::dtype_name(spec.dtype),
           matrices_text(spec.base_format, " over "), " on ", spec.device.str(), ", RoPE factor ",
           loaded.model->config().rope.context_factor, structure_text(spec, loaded));
  log_info("data ", data.identity.path, ": ", data.description, "; ", counted(total_steps, "step"), " of ",
           counted(spec.train.sequences_per_step(), "sequence"));
  log_end_of_epochs(spec.train, data.identity.num_samples, total_steps);
}

void log_resume(const TrainingRunSpec& spec, const std::filesystem::path& checkpoint, int64_t step,
                int64_t total_steps) {
  if (step >= total_steps) {
    log_info(spec.output_dir.string(), ": nothing to do: all ", counted(total_steps, "step"),
             total_steps == 1 ? " is" : " are", " done (", checkpoint.string(), ")");
    return;
  }
  log_info("resuming from ", checkpoint.string(), ": ", step, " of ", counted(total_steps, "step"),
           step == 1 ? " is" : " are", " done",
           spec.init_adapter.empty() ? "" : "; its weights go before `init_adapter` " + spec.init_adapter.string());
}

void log_evaluation_plan(const TrainingData& data, int64_t steps) {
  log_info("evaluation ", data.identity.path, ": ", data.description, "; ",
           steps == 0 ? "after the last step" : "every " + counted(steps, "step") + " and after the last one");
}

void log_dry_run(const TrainingRunSpec& spec, const plan::PlannedStep& planned, const SavesToCome& saves,
                 int64_t steps) {
  const int64_t tokens = steps * spec.train.sequences_per_step() * spec.train.sequence_length;
  std::string time = "the time of a step on a CPU is not predicted";
  if (spec.device.is_cuda()) {
    const plan::StepPrediction step = plan::predict_step(planned.problem, planned.plan.policies, plan::kNvlinkRates);
    time = "about " + human_duration((step.compute_seconds + step.exposed_seconds) * static_cast<double>(steps)) +
           " at the rates of hici plan";
  }
  log_info("dry run: nothing is written; ", counted(steps, "step"), " of ",
           counted(spec.train.sequences_per_step(), "sequence"), ", ", spec.sft ? "at most " : "",
           human_count(static_cast<double>(tokens)), " tokens; ", counted(saves.saves, "checkpoint"), " of ",
           human_bytes(static_cast<int64_t>(saves.bytes_each)), "; ", time);
}

void log_finished(const TrainingRunSpec& spec, const TrainingData& data, const RunRecord& record, int64_t steps,
                  int64_t total_steps) {
  const RunLosses& losses = record.losses();
  log_info(spec.output_dir.string(), ": finished ", counted(steps, "step"), " in ", short_duration(record.seconds()),
           "; loss ", four_decimals(losses.last), ", lowest ", four_decimals(losses.lowest), " at step ",
           losses.lowest_step);
  std::optional<int64_t> best;
  if (record.last_evaluation()) {
    const double loss = record.last_evaluation()->loss;
    log_info("evaluation: loss ", four_decimals(loss), ", perplexity ", four_decimals(std::exp(loss)), "; ",
             record.best() ? hici::detail::concat("the best checkpoint is ",
                                                  io::checkpoint_path(spec.output_dir, record.best()->step).string(),
                                                  ", with loss ", four_decimals(record.best()->eval_loss))
                           : std::string("no checkpoint was evaluated"));
    if (spec.evaluation->loads_best && record.best()) best = record.best()->step;
  }
  if (!spec.mix.empty()) log_info("shares of the data: ", mix_shares(data, record.position(), spec.train.order_seed()));
  const std::string next = next_command(spec, data, total_steps, best);
  if (next.empty()) return;
  log_info("next: ", next);
  if (!spec.sft)
    log_info("  (that is the text it was trained on; for a result give `data_path` text that it has not seen)");
}

std::string next_command(const TrainingRunSpec& spec, const TrainingData& data, int64_t total_steps,
                         std::optional<int64_t> best) {
  std::string model = model_options(spec, total_steps, best);
  // The loss is that of the base as it was trained over.
  if (spec.base_format != config::BaseFormat::kModel) model.append(" `base_format` ").append(name_of(spec.base_format));
  if (spec.sft) {
    const std::string form = data.is_chat ? " `chat`" : " `prompt_style` " + spec.sft->prompt_style;
    return "hici generate hello" + form + model + machine_options(spec);
  }
  const int64_t length = spec.train.sequence_length;
  if (!data.tokens || data.tokens->size() <= length) return "";
  std::string text = "hici eval ppl" + model;
  text += " `data_path` " + shell_word(data.tokens->path().string());
  if (spec.token_type) text += " `token_type` " + text_of(*spec.token_type);
  text += " `seq_len` " + std::to_string(length) + " `eval_mode` " + eval_mode_of(spec.attention);
  if (spec.train.stream_segments) text += " `stream_segments` True";
  const int64_t stride = std::min(length, kUsualStride), some = length + kWindowsToTry * stride;
  if (stride < kUsualStride) text += " `sliding_window` " + std::to_string(stride);
  if (data.tokens->size() > some) text += " `limit_tokens` " + std::to_string(some);
  return text + machine_options(spec);
}

}  // namespace hici::train
