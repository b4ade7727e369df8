// SPDX-License-Identifier: Apache-2.0
#include "hici/config/rope.h"

#include "hici/base/error.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <optional>

namespace hici::config {
namespace {

constexpr double kTwoPi = 2 * std::numbers::pi;

// Llama 3.1: long waves are interpolated, short ones are left, those between are blended.
double llama3_frequency(const RopeConfig& rope, double frequency) {
  const auto original = static_cast<double>(rope.original_max_position_embeddings);
  const double wavelength = kTwoPi / frequency;
  if (wavelength > original / rope.low_freq_factor) return frequency / rope.factor;
  if (wavelength < original / rope.high_freq_factor) return frequency;
  const double smooth = (original / wavelength - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
  return (1 - smooth) * frequency / rope.factor + smooth * frequency;
}

// YaRN: a linear ramp over the pair index, between the pairs that turn beta_fast and beta_slow times in the original
// context.
struct YarnRamp {
  double low;
  double high;

  YarnRamp(const RopeConfig& rope, int64_t head_dim) {
    const auto dim = static_cast<double>(head_dim);
    const auto pair_that_turns = [&](double times) {
      const double positions = static_cast<double>(rope.original_max_position_embeddings);
      return dim * std::log(positions / (times * kTwoPi)) / (2 * std::log(rope.theta));
    };
    low = pair_that_turns(rope.beta_fast);
    high = pair_that_turns(rope.beta_slow);
    if (rope.truncate) {
      low = std::floor(low);
      high = std::ceil(high);
    }
    low = std::max(low, 0.0);
    high = std::min(high, dim - 1);
    if (low == high) high += 0.001;
  }

  // Share of interpolation in pair i.
  double at(double i) const { return std::clamp((i - low) / (high - low), 0.0, 1.0); }
};

double yarn_scale(double factor, double mscale) { return factor <= 1 ? 1.0 : 0.1 * mscale * std::log(factor) + 1.0; }

}  // namespace

std::vector<double> rope_inverse_frequencies(const RopeConfig& rope, int64_t head_dim) {
  HICI_ASSERT(head_dim > 0 && head_dim % 2 == 0, "head_dim ", head_dim);
  std::vector<double> out(static_cast<size_t>(head_dim / 2));
  std::optional<YarnRamp> ramp;
  if (rope.type == RopeType::kYarn) ramp.emplace(rope, head_dim);
  for (size_t i = 0; i < out.size(); ++i) {
    const double base = std::pow(rope.theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    double frequency = base;
    if (rope.type == RopeType::kLinear) frequency = base / rope.factor;
    if (rope.type == RopeType::kLlama3) frequency = llama3_frequency(rope, base);
    if (ramp) {
      const double share = ramp->at(static_cast<double>(i));
      frequency = base / rope.factor * share + base * (1 - share);
    }
    if (rope.type == RopeType::kLongrope) frequency = base / rope.pair_factors.at(i);
    out[i] = frequency / rope.context_factor;
  }
  return out;
}

double rope_attention_scale(const RopeConfig& rope) {
  if (rope.type != RopeType::kYarn && rope.type != RopeType::kLongrope) return 1;
  if (rope.attention_factor) return *rope.attention_factor;
  if (rope.type == RopeType::kLongrope) {
    const auto original = static_cast<double>(rope.original_max_position_embeddings);
    return rope.factor <= 1 ? 1 : std::sqrt(1 + std::log(rope.factor) / std::log(original));
  }
  const double mscale = rope.mscale.value_or(0), all_dim = rope.mscale_all_dim.value_or(0);
  if (mscale != 0 && all_dim != 0) return yarn_scale(rope.factor, mscale) / yarn_scale(rope.factor, all_dim);
  return yarn_scale(rope.factor, 1);
}

double rope_reach(const ModelConfig& config) {
  const auto written = static_cast<double>(config.max_position_embeddings);
  switch (config.rope.type) {
    case RopeType::kDefault:
    case RopeType::kLlama3:
      return written;  // Llama 3.1 states its extended reach there
    case RopeType::kLinear:
      return written * config.rope.factor;
    case RopeType::kYarn:
    case RopeType::kLongrope:
      return static_cast<double>(config.rope.original_max_position_embeddings) * config.rope.factor;
  }
  HICI_ASSERT(false, "rope type ", static_cast<int>(config.rope.type));
  return 0;
}

int64_t rope_context(const ModelConfig& config) {
  constexpr double kMost = 0x1p40;
  return static_cast<int64_t>(std::min(rope_reach(config) * config.rope.context_factor, kMost));
}

double context_extension_factor(const ModelConfig& config, int64_t context) {
  HICI_CHECK(context >= 1, "context of ", context, " tokens; expected 1 or more");
  const auto wanted = static_cast<double>(context);
  if (wanted <= rope_reach(config)) return 1;
  // A linear scaling is replaced by a larger one, measured from the original; the others are interpolated as they
  // stand.
  const double present = config.rope.type == RopeType::kLinear ? config.rope.factor : 1;
  const double ratio = wanted / (rope_reach(config) / present);
  const double needed = config.family == Family::kLlama ? std::ceil(ratio) : ratio;
  return std::max(needed, present) / present;
}

}  // namespace hici::config
