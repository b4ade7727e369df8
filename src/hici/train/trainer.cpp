// SPDX-License-Identifier: Apache-2.0
#include "hici/train/trainer.h"

#include "hici/base/error.h"
#include "hici/base/log.h"
#include "hici/base/signals.h"
#include "hici/nn/non_finite.h"
#include "hici/device/device.h"
#include "hici/ops/linear_cross_entropy.h"
#include "hici/optim/clip.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <sstream>

namespace hici::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// Without the sign that a nan may have, which says nothing.
std::string shown(double value) { return std::isnan(value) ? "nan" : hici::detail::concat(value); }

std::string list_blocks(const std::vector<data::TokenBatch>& batches) {
  std::ostringstream out;
  for (const data::TokenBatch& batch : batches) {
    for (const int64_t block : batch.blocks) out << (out.tellp() > 0 ? ", " : "") << block;
  }
  return out.str();
}

}  // namespace

Trainer::Trainer(const nn::CausalLm& model, nn::ForwardOptions forward, std::vector<optim::TrainedParameter> parameters,
                 const data::BatchSource& samples, const config::TrainConfig& config, TrainerEvents events)
    : model_(model),
      forward_(std::move(forward)),
      samples_(samples),
      config_(config),
      events_(std::move(events)),
      sampler_(samples.num_samples(), config.shuffle, config.seed),
      schedule_{optim::schedule_kind_from_name(config.schedule), config.warmup_steps,
                config.total_steps(samples.num_samples())},
      optimizer_(parameters, {.weight_decay = config.weight_decay}),
      gradients_(parameters),
      has_hici_(std::any_of(parameters.begin(), parameters.end(),
                            [](const auto& each) { return each.group == optim::GroupKind::kHici; })) {}

RunEnd Trainer::run(const Progress& start) {
  progress_ = start;
  last_saved_step_ = start.step;
  sampler_.seek(start.position);
  started_ = last_report_ = Clock::now();
  while (progress_.step < total_steps()) {
    const std::vector<data::TokenBatch> batches = draw_batches();
    StepOutcome outcome = compute_gradients(batches);
    if (outcome.interrupted) {
      gradients_.clear();
      sampler_.seek(progress_.position);
      if (events_.save && last_saved_step_ != progress_.step) events_.save(progress_);
      return RunEnd::kStopped;
    }
    clip_gradients(outcome);
    const bool updated = update(outcome, batches);
    gradients_.clear();
    ++progress_.step;
    progress_.tokens_seen += outcome.tokens;
    progress_.position = sampler_.position();
    if (updated) report(outcome);
    save_if_due();
  }
  if (events_.save && last_saved_step_ != progress_.step) events_.save(progress_);
  return RunEnd::kFinished;
}

std::vector<data::TokenBatch> Trainer::draw_batches() {
  std::vector<data::TokenBatch> batches;
  for (int64_t i = 0; i < config_.accumulation_steps; ++i) {
    std::vector<int64_t> blocks(static_cast<size_t>(config_.batch_size));
    for (int64_t& block : blocks) block = sampler_.next();
    batches.push_back(samples_.batch(blocks));
  }
  return batches;
}

Trainer::StepOutcome Trainer::compute_gradients(const std::vector<data::TokenBatch>& batches) {
  int64_t targets = 0;
  for (const data::TokenBatch& batch : batches) targets += batch.num_targets;
  StepOutcome outcome;
  for (const data::TokenBatch& batch : batches) {
    const std::optional<double> loss = stop_requested() == 0 ? run_micro_batch(batch, targets) : std::nullopt;
    outcome.interrupted = !loss;
    if (outcome.interrupted) break;
    outcome.loss += *loss;
    outcome.tokens += batch.num_tokens();
  }
  return outcome;
}

// Every micro-batch is weighted by its tokens: the step's loss is the mean over all of its target tokens.
std::optional<double> Trainer::run_micro_batch(const data::TokenBatch& batch, int64_t targets_in_step) {
  if (config_.stream_segments) {
    // Collected after each segment: hundreds of them must not be added in the model's narrow type.
    const StreamEvents events{[this] { gradients_.collect(); }, events_.on_segment};
    return streamed_gradients(model_, forward_of(batch), batch, targets_in_step, events);
  }
  const at::Tensor loss = sum_of_losses(batch) / static_cast<double>(targets_in_step);
  torch::autograd::backward({loss}, {});
  gradients_.collect();
  return loss.item<double>();
}

nn::ForwardOptions Trainer::forward_of(const data::TokenBatch& batch) const {
  nn::ForwardOptions forward = forward_;
  if (batch.valid_BT.defined()) forward.valid_BT = batch.valid_BT.to(model_.head_weight().device());
  forward.sequences = batch.sequences;
  return forward;
}

// The hidden states end here: nothing of the backward pass reads them. Where most tokens have no label (a long prompt,
// a short answer) those that have one are picked out first: the output head is a large part of a step.
at::Tensor Trainer::sum_of_losses(const data::TokenBatch& batch) const {
  const at::Device device = model_.head_weight().device();
  at::Tensor hidden = model_.forward_hidden(batch.tokens_BT.to(device), forward_of(batch)).flatten(0, 1);
  at::Tensor labels = batch.labels_BT.view(-1);
  if (2 * batch.num_targets < labels.numel()) {
    const at::Tensor with_label = labels.ne(ops::kIgnoredLabel).nonzero().view(-1);
    hidden = hidden.index_select(0, with_label.to(device));
    labels = labels.index_select(0, with_label);
  }
  return ops::linear_cross_entropy(hidden, model_.head_weight(), labels.to(device));
}

// HiCI gradients to their own limit first, then all together; once for each optimizer step.
void Trainer::clip_gradients(StepOutcome& outcome) {
  const optim::GroupedNorms norms =
      optim::clip_group_then_all(gradients_.gradients_of(optim::GroupKind::kHici), config_.hici_grad_clip,
                                 gradients_.gradients_of(optim::GroupKind::kRest), config_.max_grad_norm);
  outcome.hici_grad_norm = norms.group;
  outcome.grad_norm = norms.all;
}

bool Trainer::update(const StepOutcome& outcome, const std::vector<data::TokenBatch>& batches) {
  const bool finite =
      std::isfinite(outcome.loss) && std::isfinite(outcome.grad_norm) && std::isfinite(outcome.hici_grad_norm);
  if (!finite) {
    // Training has not touched the weights yet: no rate would help, and another step would see the same ones.
    if (!has_updated_)
      nn::check_weights_are_finite(
          model_, hici::detail::concat(std::isfinite(outcome.loss) ? "the gradient norm" : "the loss", " of step ",
                                       progress_.step + 1));
    ++nonfinite_in_a_row_;
    const std::string what =
        hici::detail::concat("step ", progress_.step + 1, ", rank 0: loss ", shown(outcome.loss), ", gradient norm ",
                             shown(outcome.grad_norm), " in blocks ", list_blocks(batches));
    HICI_CHECK(nonfinite_in_a_row_ < config_.max_nonfinite_steps, what,
               "; no update was made; lower --learning_rate or --hici_lr, or go on from "
               "the last checkpoint with --max_nonfinite_steps above ",
               config_.max_nonfinite_steps);
    log_warning(what, "; no update was made");
    return false;
  }
  nonfinite_in_a_row_ = 0;
  const double factor = schedule_.factor(progress_.step + 1);
  optimizer_.step(gradients_.gradients(), {config_.hici_learning_rate * factor, config_.learning_rate * factor});
  has_updated_ = true;
  return true;
}

void Trainer::report(const StepOutcome& outcome) {
  tokens_since_report_ += outcome.tokens;
  if (!events_.on_step) return;
  const Clock::time_point now = Clock::now();
  const double factor = schedule_.factor(progress_.step);
  StepMetrics metrics;
  metrics.step = progress_.step;
  metrics.epoch = static_cast<double>(progress_.position.epoch) +
                  static_cast<double>(progress_.position.index) / static_cast<double>(sampler_.num_blocks());
  metrics.loss = outcome.loss;
  metrics.grad_norm = outcome.grad_norm;
  metrics.hici_grad_norm = outcome.hici_grad_norm;
  metrics.has_hici = has_hici_;
  metrics.learning_rate = config_.learning_rate * factor;
  metrics.hici_learning_rate = config_.hici_learning_rate * factor;
  metrics.tokens = progress_.tokens_seen;
  metrics.tokens_per_second = static_cast<double>(tokens_since_report_) / seconds_between(last_report_, now);
  metrics.peak_memory_bytes = device::peak_memory(model_.head_weight().device()).allocated;
  metrics.seconds = seconds_between(started_, now);
  const bool logged = progress_.step % config_.logging_steps == 0 || progress_.step == total_steps();
  events_.on_step(metrics, logged);
  if (!logged) return;
  last_report_ = now;
  tokens_since_report_ = 0;
}

void Trainer::save_if_due() {
  if (!events_.save || config_.save_steps == 0 || progress_.step % config_.save_steps != 0) return;
  events_.save(progress_);
  last_saved_step_ = progress_.step;
}

}  // namespace hici::train
