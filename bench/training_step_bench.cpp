// SPDX-License-Identifier: Apache-2.0
// Tokens per second of a training step (forward, backward, clipping, AdamW) of the quickstart's extension stage, for
// each kind of attention: `make bench`. Rounds alternate between the kinds, so that a machine that slows down slows
// all; medians are shown.
#include "hici/base/error.h"
#include "hici/base/log.h"
#include "hici/hierarchy/hierarchy.h"
#include "hici/ops/linear_cross_entropy.h"
#include "hici/optim/adamw.h"
#include "hici/optim/clip.h"
#include "hici/train/gradient_accumulator.h"
#include "hici/train/trainable.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <chrono>
#include <iomanip>
#include <sstream>

namespace hici {
namespace {

constexpr int64_t kBatch = 4, kTokens = 1024, kSegments = 4;
constexpr int kRounds = 15;

config::ModelConfig quickstart_model() {
  config::ModelConfig config;
  config.vocab_size = 1024;
  config.hidden_size = 128;
  config.intermediate_size = 344;
  config.num_hidden_layers = 4;
  config.num_attention_heads = config.num_key_value_heads = 4;
  config.head_dim = 32;
  config.max_position_embeddings = 256;
  config.rope.context_factor = 4;
  return config;
}

config::HiciConfig quickstart_hici() {
  config::HiciConfig config;
  config.num_segments = kSegments;
  config.num_heads = 4;
  config.bottleneck_dim = 64;
  config.shared_compress_dim = 32;
  return config;
}

// A model with random weights and one training step over random tokens.
class StepBench {
 public:
  StepBench(std::string name, nn::AttentionKind attention, bool with_hierarchy)
      : name_(std::move(name)), model_(quickstart_model(), {}) {
    if (with_hierarchy) hierarchy::attach_hierarchy(model_, quickstart_hici(), {});
    model_.add_lora({"q_proj", "k_proj", "v_proj", "o_proj"}, 8, 2.0);
    at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(1);
    model_.visit_parameters([&](const std::string&, at::Tensor& t) {
      t = t.dim() == 1 ? at::ones(t.sizes()) : at::randn(t.sizes(), generator, at::TensorOptions()) * 0.02;
    });
    if (with_hierarchy) hierarchy::initialise_hierarchy(model_, generator, false);
    parameters_ = train::select_trainable(model_, {});
    optimizer_ = std::make_unique<optim::AdamW>(parameters_, optim::AdamWOptions{});
    gradients_ = std::make_unique<train::GradientAccumulator>(parameters_);
    forward_.attention = attention;
    forward_.segment_length = kTokens / kSegments;
  }

  void run_round() {
    const at::Tensor tokens = at::randint(1024, {kBatch, kTokens}, at::kLong);  // other inputs in every round
    const auto start = std::chrono::steady_clock::now();
    const at::Tensor hidden = model_.forward_hidden(tokens, forward_);
    const at::Tensor loss =
        ops::linear_cross_entropy(hidden.view({-1, hidden.size(-1)}), model_.head_weight(), tokens.view(-1));
    torch::autograd::backward({loss / static_cast<double>(tokens.numel())}, {});
    optim::clip_to_norm(gradients_->gradients_of(optim::GroupKind::kHici), 0.3);
    optim::clip_to_norm(gradients_->gradients(), 1.0);
    optimizer_->step(gradients_->gradients(), {1e-3, 1e-3});
    gradients_->clear();
    seconds_.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }

  // Forgets the warm-up.
  void reset() { seconds_.clear(); }

  double median_seconds() const { return quantile(0.5); }
  std::string row(double baseline) const {
    std::ostringstream out;
    out << std::left << std::setw(28) << name_ << std::right << std::fixed << std::setprecision(0) << std::setw(12)
        << static_cast<double>(kBatch * kTokens) / median_seconds() << std::setprecision(1) << std::setw(12)
        << median_seconds() * 1e3 << std::setw(9) << quantile(0.25) * 1e3 << " to " << std::setw(6)
        << quantile(0.75) * 1e3 << std::setw(10) << std::showpos << (median_seconds() / baseline - 1) * 100 << " %\n";
    return out.str();
  }

 private:
  double quantile(double share) const {
    std::vector<double> sorted = seconds_;
    std::sort(sorted.begin(), sorted.end());
    return sorted[static_cast<size_t>(share * static_cast<double>(sorted.size() - 1))];
  }

  std::string name_;
  nn::CausalLm model_;
  nn::ForwardOptions forward_;
  std::vector<optim::TrainedParameter> parameters_;
  std::unique_ptr<optim::AdamW> optimizer_;
  std::unique_ptr<train::GradientAccumulator> gradients_;
  std::vector<double> seconds_;
};

void run_benchmarks() {
  std::vector<std::unique_ptr<StepBench>> benches;
  benches.push_back(std::make_unique<StepBench>("s2 (LongLoRA)", nn::AttentionKind::kS2, false));
  benches.push_back(std::make_unique<StepBench>("segments without slots", nn::AttentionKind::kHici, false));
  benches.push_back(std::make_unique<StepBench>("hici", nn::AttentionKind::kHici, true));
  benches.push_back(std::make_unique<StepBench>("full", nn::AttentionKind::kFull, false));
  for (auto& bench : benches) {
    for (int i = 0; i < 3; ++i) bench->run_round();
    bench->reset();
  }
  for (int round = 0; round < kRounds; ++round) {
    for (auto& bench : benches) bench->run_round();
  }
  write_stdout(detail::concat("training step, quickstart model, ", kBatch, " x ", kTokens, " tokens, ", kSegments,
                              " segments, float32, ", at::get_num_threads(), " threads, median of ", kRounds, "\n"));
  write_stdout("attention                       tokens/s     ms/step     quartiles (ms)   vs s2\n");
  for (const auto& bench : benches) write_stdout(bench->row(benches[0]->median_seconds()));
  const double share = 1 - benches[1]->median_seconds() / benches[2]->median_seconds();
  write_stdout(detail::concat("HiCI's own parts (local construction, global integration, slots in attention): ",
                              std::round(share * 1000) / 10, " % of its step\n"));
}

}  // namespace
}  // namespace hici

int main() {
  try {
    hici::run_benchmarks();
    return 0;
  } catch (const std::exception& e) {
    hici::write_log_line(std::string("hici_bench: error: ") + e.what());
    return 1;
  }
}
