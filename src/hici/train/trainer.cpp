// SPDX-License-Identifier: Apache-2.0
#include "hici/train/trainer.h"

#include "hici/base/error.h"
#include "hici/base/log.h"
#include "hici/base/signals.h"
#include "hici/device/device.h"
#include "hici/nn/non_finite.h"
#include "hici/ops/linear_cross_entropy.h"
#include "hici/optim/clip.h"
#include "hici/optim/schedule_settings.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <sstream>
#include <utility>

namespace hici::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_between(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double>(to - from).count();
}

// Without the sign that a nan may have, which says nothing.
std::string shown(double value) { return std::isnan(value) ? "nan" : hici::detail::concat(value); }

std::string list_blocks(const StepBatches& step) {
  std::ostringstream out;
  for (const int64_t block : step.blocks) out << (out.tellp() > 0 ? ", " : "") << block;
  return out.str();
}

}  // namespace

Trainer::Trainer(const nn::CausalLm& model, nn::ForwardOptions forward, ParameterShards& shards,
                 optim::AdamW& optimizer, const data::BatchSource& samples, const config::TrainConfig& config,
                 TrainerEvents events, const EvaluationPlan& evaluation)
    : model_(model),
      forward_(std::move(forward)),
      samples_(samples),
      config_(config),
      events_(std::move(events)),
      evaluation_(evaluation),
      device_(model.head_weight().device()),
      schedule_(optim::make_schedule(config, config.total_steps(samples.num_samples()))),
      shards_(shards),
      world_(shards.world()),
      optimizer_(optimizer),
      gradients_(shards.parameters(), shards.gradient_storage()),
      has_hici_(std::any_of(shards.parameters().begin(), shards.parameters().end(),
                            [](const auto& each) { return each.group == optim::GroupKind::kHici; })) {}

RunEnd Trainer::run(const Progress& start) {
  progress_ = start;
  last_saved_step_ = start.step;
  BatchPrefetcher batches(
      samples_, config_, start.position, total_steps() - start.step, device_,
      BatchShare::of(world_.mesh(), world_.rank(), forward_.segment_length, config_.stream_segments));
  started_ = last_report_ = Clock::now();
  if (evaluation_.is_first && !evaluate()) return stop();
  while (progress_.step < total_steps()) {
    world_.set_step(progress_.step + 1);
    const StepBatches step = batches.next();
    const StepCounts counts = count(step);
    if (world_.size() > 1) work_began_.emplace(device_);
    const at::Tensor own_loss = compute_gradients(step, counts);
    if (!own_loss.defined()) return stop();
    const StepOutcome outcome = reduce_and_clip(own_loss, counts);
    const bool updated = update(outcome, step);
    gradients_.clear();
    ++progress_.step;
    progress_.tokens_seen += outcome.tokens;
    progress_.position = step.position;
    if (updated) report(outcome);
    if (evaluation_.is_due_after(progress_.step, total_steps()) && !evaluate()) return stop();
    save_if_due();
  }
  save_unless_saved();
  return RunEnd::kFinished;
}

// The step in hand is dropped.
RunEnd Trainer::stop() {
  gradients_.clear();
  save_unless_saved();
  return RunEnd::kStopped;
}

// The processes of one sequence count all of it, each of them.
Trainer::StepCounts Trainer::count(const StepBatches& step) const {
  const std::vector<int64_t> sums =
      parallel::sums_over(world_, std::vector<int64_t>{step.num_targets, step.num_tokens});
  return {sums[0] / world_.mesh().segments, sums[1] / world_.mesh().segments};
}

bool Trainer::should_stop() {
  stop_signal_ = static_cast<int>(parallel::largest_of(world_, int64_t{stop_requested()}));
  return stop_signal_ != 0;
}

at::Tensor Trainer::compute_gradients(const StepBatches& step, const StepCounts& counts) {
  at::Tensor sum = at::zeros({}, at::TensorOptions().dtype(at::kDouble).device(device_));
  for (const MicroBatch& micro : step.micro_batches) {
    if (should_stop()) return {};
    const at::Tensor loss = run_micro_batch(micro, counts.targets);
    if (!loss.defined()) return {};
    sum.add_(loss);
  }
  return sum;
}

// Every micro-batch is weighted by its tokens: the step's loss is the mean over all of its target tokens.
at::Tensor Trainer::run_micro_batch(const MicroBatch& micro, int64_t targets_in_step) {
  if (config_.stream_segments) {
    // Collected after each segment: hundreds of them must not be added in the model's narrow type.
    const StreamEvents events{[this] { gradients_.collect(); }, events_.on_segment, [this] { return should_stop(); }};
    return streamed_gradients(model_, forward_of(micro), micro.batch, targets_in_step, events);
  }
  const at::Tensor loss = sum_of_losses(micro) / static_cast<double>(targets_in_step);
  torch::autograd::backward({loss}, {});
  gradients_.collect();
  return loss.detach();
}

// Pinned batches are copied while the host goes on.
at::Tensor Trainer::on_device(const at::Tensor& t) const { return t.to(device_, /*non_blocking=*/true); }

nn::ForwardOptions Trainer::forward_of(const MicroBatch& micro) const {
  nn::ForwardOptions forward = forward_over(micro, forward_, world_, device_);
  forward.dropout = dropout_of(micro);
  return forward;
}

// From numbers that are the same however many processes share the step, and that a resumed run has too.
nn::Dropout Trainer::dropout_of(const MicroBatch& micro) const {
  if (config_.lora_dropout == 0) return {};
  const auto step = static_cast<uint64_t>(progress_.step + 1);
  nn::Dropout dropout{config_.lora_dropout, ops::dropout_key({config_.seed, step}), {}};
  dropout.sequences.resize(static_cast<size_t>(micro.batch.tokens_BT.size(0)));
  std::iota(dropout.sequences.begin(), dropout.sequences.end(), micro.first_sequence);
  return dropout;
}

// The hidden states end here: nothing of the backward pass reads them.
at::Tensor Trainer::sum_of_losses(const MicroBatch& micro) const {
  at::Tensor hidden = model_.forward_hidden(on_device(micro.batch.tokens_BT), forward_of(micro)).flatten(0, 1);
  if (micro.labelled_rows_n.defined()) hidden = hidden.index_select(0, on_device(micro.labelled_rows_n));
  return ops::linear_cross_entropy(hidden, model_.head_weight(), on_device(micro.labels_n));
}

// HiCI gradients to their own limit first, then all together; once for each optimizer step. The host waits for the
// device here, and the loss is there as soon as the norms are. All processes get the same numbers and decide alike.
Trainer::StepOutcome Trainer::reduce_and_clip(const at::Tensor& own_loss, const StepCounts& counts) {
  std::optional<device::TimeMark> work_ended;
  if (work_began_) work_ended.emplace(device_);
  reduced_ = shards_.reduce(gradients_.sums());
  double loss = 0;
  const auto over_processes = [&](const optim::Squares& own) {
    loss = parallel::sums_over(world_, std::vector<double>{own_loss.item<double>()})[0];
    return shards_.sum_squares(own);
  };
  const optim::Clipping clipping = optim::clip(optim::by_group(shards_.updated(), reduced_),
                                               {config_.hici_grad_clip, config_.max_grad_norm}, over_processes);
  if (work_ended) own_seconds_since_report_ += work_ended->seconds_since(*work_began_);
  return {loss, clipping.norm, clipping.hici_norm, counts.tokens};
}

bool Trainer::update(const StepOutcome& outcome, const StepBatches& step) {
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
        hici::detail::concat("step ", progress_.step + 1, ": loss ", shown(outcome.loss), ", gradient norm ",
                             shown(outcome.grad_norm), " in blocks ", list_blocks(step));
    HICI_CHECK(nonfinite_in_a_row_ < config_.max_nonfinite_steps, what,
               "; no update was made; lower `learning_rate` or `hici_learning_rate`, or go on from "
               "the last checkpoint with `max_nonfinite_steps` above ",
               config_.max_nonfinite_steps);
    log_warning(what, "; no update was made");
    return false;
  }
  nonfinite_in_a_row_ = 0;
  const double factor = schedule_.factor(progress_.step + 1);
  optimizer_.step(reduced_, {config_.hici_learning_rate * factor, config_.learning_rate * factor});
  shards_.gather();
  has_updated_ = true;
  return true;
}

void Trainer::report(const StepOutcome& outcome) {
  tokens_since_report_ += outcome.tokens;
  const Clock::time_point now = Clock::now();
  const double factor = schedule_.factor(progress_.step);
  StepMetrics metrics;
  metrics.step = progress_.step;
  metrics.epoch = epoch();
  metrics.loss = outcome.loss;
  metrics.grad_norm = outcome.grad_norm;
  metrics.hici_grad_norm = outcome.hici_grad_norm;
  metrics.has_hici = has_hici_;
  metrics.learning_rate = config_.learning_rate * factor;
  metrics.hici_learning_rate = config_.hici_learning_rate * factor;
  metrics.tokens = progress_.tokens_seen;
  metrics.tokens_per_second = static_cast<double>(tokens_since_report_) / seconds_between(last_report_, now);
  const bool logged = progress_.step % config_.logging_steps == 0 || progress_.step == total_steps();
  metrics.peak_memory_bytes = device::peak_memory(device_).allocated;
  if (logged) {
    metrics.peak_memory_bytes = parallel::largest_of(world_, metrics.peak_memory_bytes);
    add_slowest_rank(metrics);
  }
  metrics.seconds = seconds_between(started_, now);
  if (events_.on_step) events_.on_step(metrics, logged);
  if (!logged) return;
  last_report_ = now;
  tokens_since_report_ = 0;
}

double Trainer::epoch() const {
  return static_cast<double>(progress_.position.epoch) +
         static_cast<double>(progress_.position.index) / static_cast<double>(samples_.num_samples());
}

// Its time is none of the training steps', whose speed is reported.
bool Trainer::evaluate() {
  const Clock::time_point begin = Clock::now();
  const auto mean = evaluation_.evaluator->run([this] { return should_stop(); }, events_.on_evaluation_batches);
  if (!mean) return false;
  const Clock::time_point end = Clock::now();
  if (events_.on_evaluation)
    events_.on_evaluation({progress_.step, epoch(), mean->loss, mean->targets, seconds_between(begin, end)});
  last_report_ += Clock::now() - begin;
  return true;
}

void Trainer::add_slowest_rank(StepMetrics& metrics) {
  if (world_.size() == 1) return;
  std::vector<double> seconds(static_cast<size_t>(world_.size()));
  seconds[static_cast<size_t>(world_.rank())] = std::exchange(own_seconds_since_report_, 0);
  seconds = parallel::sums_over(world_, seconds);
  const auto slowest = std::max_element(seconds.begin(), seconds.end());
  const double mean = std::accumulate(seconds.begin(), seconds.end(), 0.0) / static_cast<double>(seconds.size());
  metrics.slowest_rank = slowest - seconds.begin();
  metrics.slowest_rank_time = mean > 0 ? *slowest / mean : 1;
}

void Trainer::save_if_due() {
  if (!events_.save || config_.save_steps == 0 || progress_.step % config_.save_steps != 0) return;
  events_.save(progress_);
  last_saved_step_ = progress_.step;
}

void Trainer::save_unless_saved() {
  if (events_.save && last_saved_step_ != progress_.step) events_.save(progress_);
}

}  // namespace hici::train
