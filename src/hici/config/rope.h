// SPDX-License-Identifier: Apache-2.0
// Numbers of the rotary embedding: inverse frequencies and the scale of cos and sin for each RoPE type, as transformers
// (ROPE_INIT_FUNCTIONS) computes them, and the rule that turns a longer training context into an interpolation factor.
#pragma once

#include "hici/config/model_config.h"

#include <cstdint>
#include <vector>

namespace hici::config {

constexpr double kMaxRopeFactor = 1e9;  // of any interpolation

// head_dim / 2 frequencies in float64: the angle of pair i at position p is p * result[i]. The context factor is in
// them.
std::vector<double> rope_inverse_frequencies(const RopeConfig& rope, int64_t head_dim);

// What cos and sin are multiplied by; 1 except for yarn and longrope.
double rope_attention_scale(const RopeConfig& rope);

// Positions that the model covers as its config stands, before any context factor.
double rope_reach(const ModelConfig& config);
// The same times the context factor, in whole tokens: 2^40 at the most, whatever the factors.
int64_t rope_context(const ModelConfig& config);

// The factor of linear interpolation that `context` tokens need on top of what the config covers; 1 when they fit.
// Llama rounds context / original up to a whole number, Qwen3 takes the ratio. The result is for
// RopeConfig::context_factor.
double context_extension_factor(const ModelConfig& config, int64_t context);

}  // namespace hici::config
