// SPDX-License-Identifier: Apache-2.0
#include "hici/io/gguf/rope.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/config/rope.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

namespace hici::io::gguf {
namespace {

using config::RopeConfig;
using config::RopeType;

// Float32's rounding moves a frequency by 1e-7; the mildest other reading of yarn's ramp by 1e-3.
constexpr double kSameFrequency = 1e-5;
constexpr float kBetaFast = 32, kBetaSlow = 1;  // the architectures `llama` and `qwen3` read no other ones

// ggml_rope_yarn_corr_dim(), in its arithmetic: where the ramp begins and ends decides a rounding.
float pair_that_turns(const config::ModelConfig& config, float times) {
  const auto positions = static_cast<float>(config.rope.original_max_position_embeddings);
  const auto dimensions = static_cast<float>(config.head_dim);
  return dimensions * std::log(positions / (times * 2 * std::numbers::pi_v<float>)) /
         (2 * std::log(static_cast<float>(config.rope.theta)));
}

// The frequencies that llama.cpp makes of yarn's factor and original length (rope_yarn() in ggml).
std::vector<double> yarn_frequencies(const config::ModelConfig& config) {
  const double low = std::max(0.0F, std::floor(pair_that_turns(config, kBetaFast)));
  const double high = std::min(static_cast<float>(config.head_dim - 1), std::ceil(pair_that_turns(config, kBetaSlow)));
  std::vector<double> out;
  for (int64_t i = 0; i < config.head_dim / 2; ++i) {
    const double base =
        std::pow(config.rope.theta, -2.0 * static_cast<double>(i) / static_cast<double>(config.head_dim));
    const double share = std::clamp((static_cast<double>(i) - low) / std::max(0.001, high - low), 0.0, 1.0);
    out.push_back(base / config.rope.factor * share + base * (1 - share));
  }
  return out;
}

bool has_llama_cpp_yarn(const config::ModelConfig& config) {
  const std::vector<double> wanted = config::rope_inverse_frequencies(config.rope, config.head_dim),
                            made = yarn_frequencies(config);
  for (size_t i = 0; i < wanted.size(); ++i)
    if (!(std::abs(made[i] - wanted[i]) <= kSameFrequency * wanted[i])) return false;
  return true;
}

std::string shown_yarn(const RopeConfig& rope) {
  return detail::concat("yarn with beta_fast ", shortest_number(rope.beta_fast), ", beta_slow ",
                        shortest_number(rope.beta_slow), rope.truncate ? "" : ", truncate false",
                        " (llama.cpp has 32, 1 and truncates)");
}

class RopeWriter {
 public:
  RopeWriter(const config::ModelConfig& config, const std::string& architecture, const std::string& subject)
      : config_(config), prefix_(architecture + ".rope."), subject_(subject) {}

  Rope write() {
    add("dimension_count", static_cast<uint32_t>(config_.head_dim));
    add("freq_base", static_cast<float>(config_.rope.theta));
    switch (config_.rope.type) {
      case RopeType::kDefault:
        break;
      case RopeType::kLinear:
        add("scaling.type", std::string("linear"));
        add("scaling.factor", static_cast<float>(config_.rope.factor));
        break;
      case RopeType::kLlama3:
        add_factors("llama3", {"rope_freqs.weight"});
        break;
      case RopeType::kYarn:
        has_llama_cpp_yarn(config_) ? add_yarn() : add_longrope(shown_yarn(config_.rope));
        break;
      case RopeType::kLongrope:
        add_longrope("longrope");
        break;
    }
    return std::move(out_);
  }

 private:
  void add(const std::string& key, Value value) { out_.metadata.emplace_back(prefix_ + key, std::move(value)); }

  void add_original_length() {
    const int64_t length = config_.rope.original_max_position_embeddings;
    HICI_CHECK(length <= std::numeric_limits<int32_t>::max(), subject_, ": original_max_position_embeddings ", length,
               " is more than llama.cpp holds; merge without `format` gguf");
    add("scaling.original_context_length", static_cast<uint32_t>(length));
  }

  // llama.cpp multiplies cosine and sine by 1 + 0.1 ln(factor), and by what stands here.
  void add_yarn() {
    const RopeConfig& rope = config_.rope;
    add("scaling.type", std::string("yarn"));
    add("scaling.factor", static_cast<float>(rope.factor));
    add_original_length();
    add_scale(config::rope_attention_scale(rope) / (1 + 0.1 * std::log(rope.factor)));
  }

  // Its short and long factors are the same, so that the length which decides between them does not matter.
  void add_longrope(const std::string& what) {
    add_factors(what, {"rope_factors_long.weight", "rope_factors_short.weight"});
    add("scaling.type", std::string("longrope"));
    add_original_length();
    add_scale(config::rope_attention_scale(config_.rope));
  }

  void add_scale(double scale) {
    const auto written = static_cast<float>(scale);
    if (std::abs(written - 1.0F) > 1e-6F) add("scaling.attn_factor", written);
  }

  void add_factors(const std::string& what, std::vector<std::string> tensors) {
    HICI_CHECK(config_.family == config::Family::kLlama, subject_, ": its rotary embedding is ", what,
               ", and llama.cpp's ", name_of(config_.family),
               " has no place for the factors of pairs; merge without `format` gguf");
    RopeFactors factors{std::move(tensors), {}};
    const std::vector<double> frequencies = config::rope_inverse_frequencies(config_.rope, config_.head_dim);
    for (size_t i = 0; i < frequencies.size(); ++i) {
      const double base =
          std::pow(config_.rope.theta, -2.0 * static_cast<double>(i) / static_cast<double>(config_.head_dim));
      factors.values.push_back(static_cast<float>(base / frequencies[i]));
    }
    out_.factors = std::move(factors);
  }

  const config::ModelConfig& config_;
  std::string prefix_, subject_;
  Rope out_;
};

}  // namespace

Rope rope_of(const config::ModelConfig& config, const std::string& architecture, const std::string& subject) {
  HICI_ASSERT(config.rope.context_factor == 1, "a context factor of ", config.rope.context_factor);
  return RopeWriter(config, architecture, subject).write();
}

}  // namespace hici::io::gguf
