// SPDX-License-Identifier: Apache-2.0
#include "hici/bench/model_case.h"

#include "hici/config/rope.h"
#include "hici/device/profile.h"
#include "hici/hierarchy/hierarchy.h"
#include "hici/ops/linear_cross_entropy.h"
#include "hici/optim/clip.h"
#include "hici/optim/trainable.h"
#include "hici/plan/make_problem.h"
#include "hici/plan/step_traffic.h"
#include "hici/train/place_weights.h"
#include "hici/train/segment_streaming.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>

namespace hici::bench {
namespace {

config::ModelConfig config_for(const BenchSpec& spec, int64_t length) {
  config::ModelConfig config = spec.model.config;
  config.rope.context_factor = config::context_extension_factor(config, length);
  return config;
}

// A process alone has nobody to cut weights with.
config::Sharding sharding_for(const BenchSpec& spec, const parallel::World& world) {
  config::Sharding sharding = spec.sharding;
  if (world.size() == 1) sharding.group_size = 0;
  return sharding;
}

// Of one process.
plan::StepShape shape_for(const BenchSpec& spec, int64_t length, nn::AttentionKind attention) {
  const int64_t here = length / spec.segment_processes();
  plan::StepShape shape{spec.batch_size, here, attention, 0, {}, spec.lora.rank, spec.model.config.tie_word_embeddings};
  if (attention != nn::AttentionKind::kFull) shape.segment_length = spec.segment_length_of(length);
  if (attention == nn::AttentionKind::kHici) shape.hici = spec.model.hici;
  return shape;
}

}  // namespace

at::Tensor WeightPool::get(const std::string& name, at::IntArrayRef shape) {
  const auto found = weights_.find(name);
  if (found != weights_.end()) return found->second;
  const at::NoGradGuard no_grad;
  at::Tensor weight = at::empty(shape, at::TensorOptions().device(device_).dtype(dtype_));
  const bool is_bias = name.size() > 5 && name.compare(name.size() - 5, 5, ".bias") == 0;
  if (is_bias) {
    weight.zero_();
  } else if (shape.size() < 2) {
    weight.fill_(1);
  } else {
    weight.normal_(0, 0.02);
  }
  return weights_[name] = weight;
}

bool WeightPool::has(const std::string& name, const at::Tensor& weight) const {
  const auto found = weights_.find(name);
  return found != weights_.end() && found->second.is_alias_of(weight);
}

int64_t WeightPool::bytes() const {
  int64_t bytes = 0;
  for (const auto& [name, weight] : weights_) bytes += static_cast<int64_t>(weight.nbytes());
  return bytes;
}

void WeightPool::drop_unused() {
  std::erase_if(weights_, [](const auto& entry) { return entry.second.use_count() == 1; });
}

ModelCase::ModelCase(const BenchSpec& spec, BenchWork work, int64_t length, nn::AttentionKind attention,
                     WeightPool& pool, const parallel::World& world)
    : spec_(spec),
      work_(work),
      attention_(attention),
      shape_(shape_for(spec, length, attention)),
      flops_(plan::count_step_flops(spec.model.config, shape_)),
      forward_{nn::attention_in_force(attention, plan::has_hierarchy(shape_)),
               shape_.segment_length,
               {},
               {},
               spec.attention_backend},
      model_(config_for(spec, length), {spec.dtype}),
      world_(world) {
  if (world.mesh().segments > 1) forward_.share = {&world.segments(), length / shape_.segment_length};
  if (plan::has_hierarchy(shape_)) hierarchy::attach_hierarchy(model_, spec.model.hici, {spec.dtype});
  model_.add_lora(spec.lora);
  optim::select_trainable(model_, {});  // shapes and what is trained are all that the plan needs
  if (work == BenchWork::kStep) plan();
  fits_ = planned_.fits() || spec.processes() == 1 || world.size() > 1;
  if (!fits_) return;
  const int64_t before = device::allocated_memory(spec.device) - pool.bytes();
  draw_weights(pool);
  if (work == BenchWork::kStep) make_optimizer();
  own_bytes_ = device::allocated_memory(spec.device) - pool.bytes() - before;
  model_.visit_parameters([&](const std::string& name, const at::Tensor& t) {
    if (pool.has(name, t)) shared_bytes_ += static_cast<int64_t>(t.nbytes());
  });
}

void ModelCase::make_optimizer() {
  auto parameters = optim::select_trainable(model_, {});
  shards_ = std::make_unique<train::ParameterShards>(std::move(parameters), world_, spec_.sharding.kind);
  gradients_ = std::make_unique<train::GradientAccumulator>(shards_->parameters(), shards_->gradient_storage());
  const bool state_on_host = spec_.sharding.offload_optimizer && spec_.device.is_cuda();
  if (spec_.with_optimizer)
    optimizer_ =
        std::make_unique<optim::AdamW>(shards_->updated(), optim::AdamWOptions{.state_on_host = state_on_host});
}

// Weights that do not stay on the device are drawn for this model alone.
void ModelCase::draw_weights(WeightPool& pool) {
  const train::PlaceLayer place =
      work_ == BenchWork::kStep
          ? train::place_frozen_weights(sharding_for(spec_, world_), {}, spec_.base_format, world_, spec_.device)
          : train::PlaceLayer();
  auto draw = [&](const std::string& name, at::Tensor& t) {
    const bool is_placed = place && name.find(".layers.") != std::string::npos && !optim::is_trained({}, name);
    t = is_placed ? WeightPool(spec_.device, spec_.dtype).get(name, t.sizes()) : pool.get(name, t.sizes());
  };
  auto drawn = [&](size_t layer) {
    if (place) place(model_, layer);
  };
  model_.visit_parameters(draw, {.after = drawn});
  if (spec_.base_format == config::BaseFormat::kModel || place) return;
  optim::select_trainable(model_, {});
  model_.quantise_frozen(spec_.base_format, /*has_backward=*/work_ == BenchWork::kStep);
  pool.drop_unused();
}

// Of the whole sequence, which the processes share. All of them choose what fits the one with the least memory.
void ModelCase::plan() {
  plan::PlanProblem stated;
  stated.model = spec_.model.config;
  stated.shape = shape_;
  stated.shape.tokens *= world_.mesh().segments;
  stated.mesh = world_.mesh();
  stated.sharding = sharding_for(spec_, world_);
  stated.base_format = spec_.base_format;
  stated.dtype = spec_.dtype;
  stated.has_optimizer = spec_.with_optimizer;
  stated.stream_segments = spec_.stream_segments;
  stated.accumulation_steps = spec_.accumulation_steps;
  plan::PlanProblem problem = plan::make_problem(std::move(stated), plan::count_parameters(model_), spec_.device);
  std::optional<int64_t> budget = plan::memory_budget(spec_.device);
  if (budget) budget = parallel::least_of(spec_.world == nullptr ? world_ : *spec_.world, *budget);
  planned_ = plan::plan_step(std::move(problem), spec_.activation_policy, budget);
  forward_.policies = planned_.plan.policies;
}

at::Tensor ModelCase::draw_tokens() const {
  return at::randint(spec_.model.config.vocab_size, {shape_.batch, shape_.tokens},
                     at::TensorOptions().device(spec_.device).dtype(at::kLong));
}

void ModelCase::run(const at::Tensor& tokens_BT) {
  if (work_ == BenchWork::kStep) {
    train_step(tokens_BT);
  } else {
    score(tokens_BT);
  }
}

// What train::Trainer does with one micro-batch, with --with_optimizer as with the only one of its step. Gradients of
// steps without it are added up and never taken: that is accumulation.
void ModelCase::train_step(const at::Tensor& tokens_BT) {
  for (int64_t i = 0; i < spec_.accumulation_steps; ++i) {
    if (spec_.stream_segments) {
      const data::TokenBatch batch{tokens_BT, tokens_BT, tokens_BT.numel(), {}};
      train::streamed_gradients(model_, forward_, batch, batch.num_targets,
                                {.on_gradients = [this] { gradients_->collect(); }, .on_segment = {}});
    } else {
      whole_step(tokens_BT);
    }
  }
  if (!optimizer_) return;
  device::profiled(device::Part::kOptimizer, [&] {
    update_weights();
    return at::Tensor();
  });
}

void ModelCase::whole_step(const at::Tensor& tokens_BT) {
  const auto mean_loss = [&](const at::Tensor& hidden) {
    const at::Tensor sum =
        ops::linear_cross_entropy(hidden.view({-1, hidden.size(-1)}), model_.head_weight(), tokens_BT.view(-1));
    return sum / static_cast<double>(tokens_BT.numel());
  };
  const at::Tensor loss = device::profiled(device::Part::kLoss, mean_loss, model_.forward_hidden(tokens_BT, forward_));
  torch::autograd::backward({loss}, {});
  gradients_->collect();
}

// The limits and rates of `hici train`; they do not change the time.
void ModelCase::update_weights() {
  const std::vector<at::Tensor> reduced = shards_->reduce(gradients_->sums());
  optim::clip(optim::by_group(shards_->updated(), reduced), {.hici = 0.3, .all = 1.0},
              [this](const optim::Squares& own) { return shards_->sum_squares(own); });
  optimizer_->step(reduced, {2e-4, 2e-5});
  shards_->gather();
  gradients_->clear();
}

void ModelCase::score(const at::Tensor& tokens_BT) const {
  const at::NoGradGuard no_grad;
  const int64_t predicted = tokens_BT.size(1) - 1;
  const at::Tensor hidden = model_.forward_hidden(tokens_BT, forward_);
  device::profiled(
      device::Part::kLoss,
      [&](const at::Tensor& h) {
        return ops::score_tokens(h.narrow(1, 0, predicted).reshape({-1, h.size(-1)}), model_.head_weight(),
                                 tokens_BT.narrow(1, 1, predicted).reshape({-1}))
            .log_likelihood;
      },
      hidden);
}

void ModelCase::measure() {
  const at::Tensor tokens_BT = draw_tokens();
  device::reset_peak_memory(spec_.device);
  world_.control().barrier(at::kCPU);
  const double seconds = seconds_of(spec_.device, [&] { run(tokens_BT); }, spec_.pause_ms);
  // All wait for the slowest one together. Alone, each of them takes its own time: their mean, for no two GPUs are
  // equal.
  const bool is_alone_of_several = world_.size() < spec_.processes();
  seconds_.push_back(is_alone_of_several ? parallel::sums_over(*spec_.world, std::vector<double>{seconds})[0] /
                                               static_cast<double>(spec_.processes())
                                         : parallel::largest_of(world_, seconds));
  if (is_alone_of_several) slowest_alone_ = std::max(slowest_alone_, parallel::largest_of(*spec_.world, seconds));
  const device::DeviceMemory peak = device::peak_memory(spec_.device);
  peak_ = {std::max(peak_.allocated, peak.allocated), std::max(peak_.reserved, peak.reserved)};
}

void ModelCase::rest() {
  if (gradients_) gradients_->clear();
}

int64_t ModelCase::tokens_of_all() const {
  const int64_t micro_batches = work_ == BenchWork::kStep ? spec_.accumulation_steps : 1;
  return shape_.batch * shape_.tokens * micro_batches * world_.size();
}

// Of this process. Recomputation not counted.
double ModelCase::model_flops() const {
  if (work_ == BenchWork::kStep) return flops_.model() * static_cast<double>(spec_.accumulation_steps);
  const auto tokens = static_cast<double>(shape_.tokens);
  return flops_.forward.total() - flops_.forward.loss / tokens;  // the last token of a window predicts nothing
}

void ModelCase::add_parts(nlohmann::json& row) {
  const at::Tensor tokens_BT = draw_tokens();
  device::Profile profile(spec_.device);
  run(tokens_BT);
  const device::PartSeconds parts = profile.finish();
  double all = 0;
  for (const double seconds : parts) all += seconds;
  row["profiled_ms"] = all * 1e3;
  for (size_t i = 0; i < device::kNumParts; ++i) row["parts_percent"][device::kPartNames[i]] = parts[i] / all * 100;
}

nlohmann::json ModelCase::finish(const MachineRates& rates) {
  const Spread seconds = spread_of(seconds_);
  const bool is_step = work_ == BenchWork::kStep;
  // Streaming goes forward through all segments but the last once more, to make the states.
  const double segments =
      static_cast<double>(shape_.tokens) / static_cast<double>(std::max<int64_t>(1, shape_.segment_length));
  const double again = (is_step ? plan::recomputed_share(planned_.problem, planned_.plan.policies) : 0) +
                       (is_step && spec_.stream_segments ? 1 - 1 / segments : 0);
  const double executed =
      model_flops() + again * flops_.recomputation() * static_cast<double>(is_step ? spec_.accumulation_steps : 1);
  nlohmann::json row{{"status", kOk},
                     {"seq_len", shape_.tokens * world_.mesh().segments},
                     {"processes", world_.size()},
                     {"attention", nn::attention_kind_name(attention_)},
                     {"tokens_per_second", static_cast<double>(tokens_of_all()) / seconds.median},
                     {"ms", seconds.median * 1e3},
                     {"ms_min", seconds.min * 1e3},
                     {"ms_max", seconds.max * 1e3},
                     {"flops_executed", executed},
                     {"flops_model", model_flops()},
                     {"tflops_executed", executed / seconds.median / 1e12},
                     {"tflops_model", model_flops() / seconds.median / 1e12},
                     {"matrix_rate_percent", executed / seconds.median / rates.matrix_flops_per_second * 100},
                     {"peak_memory_bytes", peak_.allocated - bytes_of_others_},
                     {"peak_reserved_bytes", peak_.reserved}};
  if (is_step) {
    row["activations"] = nn::describe(planned_.plan.policies, planned_.plan.policies.size());
    // As the peak that was seen: of tensors on a GPU, of the process on a CPU.
    const int64_t own = spec_.device.is_cuda() ? 0 : plan::kProcessBytes;
    row["planned_memory_bytes"] = planned_.plan.peak.groups.total() + own;
    row["planned_host_bytes"] = planned_.plan.host;
    row["planned_peak_moment"] = planned_.plan.peak.name;
    const plan::StepPrediction prediction =
        plan::predict_step(planned_.problem, planned_.plan.policies, plan::kNvlinkRates);
    row["predicted_exposed_ms"] = prediction.exposed_seconds * 1e3;
    // The rates are those of H200s of one host: there is nothing to say of CPUs.
    if (spec_.device.is_cuda()) row["predicted_efficiency_percent"] = prediction.efficiency() * 100;
  }
  if (slowest_alone_ > 0) row["ms_max"] = slowest_alone_ * 1e3;  // of all processes
  if (spec_.shows_parts) add_parts(row);
  return row;
}

}  // namespace hici::bench
