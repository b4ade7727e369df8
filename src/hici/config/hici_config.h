// SPDX-License-Identifier: Apache-2.0
// Settings of HiCI attention and of its adapters, with the rules between them, and hici_config.json: what an adapter
// directory says about itself beyond what PEFT's adapter_config.json may hold.
#pragma once

#include "hici/base/enum_names.h"
#include "hici/config/lora_config.h"
#include "hici/config/model_config.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace hici::config {

// How the slots of one segment may see the others (paper, section on top-down broadcast).
enum class CausalMode {
  kNone,          // every segment sees the one G made from all segments (G looks ahead)
  kCausalGi,      // segment i sees G_i made from L_1..L_i, and L_i
  kCausalShift,   // segment i sees G_{i-1} and L_{i-1}; segment 1 sees no slots: no look-ahead at all
  kCausalShiftG,  // segment i sees G_{i-1} only; segment 1 sees no slots
  kCausalGiGonly  // segment i sees G_i only
};

constexpr EnumNames<CausalMode, 5> names_of(CausalMode) {
  return {"causal mode",
          {{{CausalMode::kNone, "none"},
            {CausalMode::kCausalGi, "causal_gi"},
            {CausalMode::kCausalShift, "causal_shift"},
            {CausalMode::kCausalShiftG, "causal_shift_g"},
            {CausalMode::kCausalGiGonly, "causal_gi_gonly"}}}};
}
// none for Llama, causal_gi for Qwen3.
CausalMode default_causal_mode(Family family);

struct HiciConfig {
  int64_t num_segments = 4;
  int64_t num_local_slots = 8;        // M
  int64_t global_slots = 4;           // K
  int64_t num_heads = 8;              // of both modules
  int64_t bottleneck_dim = 512;       // E of the local constructor, and the integrator's width C
  int64_t shared_compress_dim = 128;  // Cs
  CausalMode causal_mode = CausalMode::kNone;
  bool use_bottleneck = true;     // false: the local constructor works at the width of the model
  bool shared_compressor = true;  // false: one compressor for each statistic
  bool use_local_constructor = true;
  bool use_global_integrator = true;

  // True when no segment needs a later one, so that a sequence can be worked on segment by segment: every mode but
  // `none` with a global integrator.
  bool is_streamable() const { return causal_mode != CausalMode::kNone || !use_global_integrator; }
  // True when a segment sees the slots of the segment before it, and the first one none.
  bool is_shifted() const {
    return causal_mode == CausalMode::kCausalShift || causal_mode == CausalMode::kCausalShiftG;
  }
  // True when a segment sees local slots, its own or (is_shifted()) those of the segment before it.
  bool shows_local_slots() const {
    return causal_mode != CausalMode::kCausalShiftG && causal_mode != CausalMode::kCausalGiGonly;
  }
  // True when local slots of a segment are kept for the next one.
  bool remembers_previous() const { return is_shifted() && shows_local_slots(); }
  // Slots, global and local, that a segment sees where it sees any.
  int64_t slots_per_segment() const {
    return (use_global_integrator ? global_slots : 0) + (shows_local_slots() ? num_local_slots : 0);
  }
  // --stream_segments with a config that is not streamable is a usage error.
  void check_streamable() const;
  // Width of the local constructor in a model of `hidden_size`.
  int64_t local_width(int64_t hidden_size) const { return use_bottleneck ? bottleneck_dim : hidden_size; }
  // Rules between the values and the model. An empty `subject` says that they came from options (hici::UsageError,
  // options named); else it is the file they were read from.
  void validate(int64_t hidden_size, const std::string& subject = "") const;
  bool operator==(const HiciConfig&) const = default;
};

// hici_config.json of an adapter or a checkpoint.
struct AdapterSettings {
  HiciConfig hici;
  int64_t context_size = 0;  // tokens of a training sequence; 0 when not known
  double rope_factor = 1;    // RopeConfig::context_factor that the weights were trained with
  std::string library_version;

  bool operator==(const AdapterSettings&) const = default;
};

nlohmann::json to_json(const AdapterSettings& settings);
AdapterSettings parse_adapter_settings(const nlohmann::json& json, const std::string& subject);

}  // namespace hici::config
