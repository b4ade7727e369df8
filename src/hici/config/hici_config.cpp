// SPDX-License-Identifier: Apache-2.0
#include "hici/config/hici_config.h"

#include "hici/base/error.h"
#include "hici/base/field_text.h"
#include "hici/base/human.h"
#include "hici/base/json.h"
#include "hici/config/bounds.h"
#include "hici/config/divides.h"
#include "hici/config/lora_targets.h"
#include "hici/config/rope.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace hici::config {
namespace {

using nlohmann::json;

// Messages about one value, for options ("`num_heads`: ...") and for files ("hici_config.json: num_heads: ...").
class Rules {
 public:
  explicit Rules(const std::string& subject) : subject_(subject) {}

  std::string name(const char* key) const { return subject_.empty() ? field_text(key) : key; }

  template <typename... Parts>
  void check(bool holds, const char* key, const Parts&... parts) const {
    if (holds) return;
    if (subject_.empty()) detail::throw_usage_error(detail::concat(field_text(key), ": ", parts...));
    fail(subject_, ": ", key, ": ", parts...);
  }

  void in_range(const char* key, int64_t value, int64_t high) const {
    check(value >= 1 && value <= high, key, value, " is out of range; use 1 to ", high);
  }

  void divides(const char* key, int64_t value, const std::string& whole_name, int64_t whole) const {
    const std::string reason = why_not_a_divisor(value, whole_name, whole);
    check(reason.empty(), key, reason);
  }

 private:
  const std::string& subject_;
};

}  // namespace

CausalMode default_causal_mode(Family family) {
  return family == Family::kLlama ? CausalMode::kNone : CausalMode::kCausalGi;
}

void HiciConfig::validate(int64_t hidden_size, const std::string& subject) const {
  const Rules rules(subject);
  rules.in_range("num_segments", num_segments, kMaxSegments);
  rules.check(use_local_constructor || !use_global_integrator, "use_global_integrator",
              "has nothing to integrate without the local constructor; set ", rules.name("use_global_integrator"),
              " to False too");
  if (!use_local_constructor) return;
  rules.in_range("num_local_slots", num_local_slots, kMaxSlots);
  rules.in_range("num_heads", num_heads, kMaxDim);
  rules.in_range("bottleneck_dim", bottleneck_dim, kMaxDim);
  if (use_bottleneck) {
    rules.divides("num_heads", num_heads, rules.name("bottleneck_dim"), bottleneck_dim);
  } else {
    rules.divides("num_heads", num_heads, "the model's hidden_size", hidden_size);
  }
  const bool global_only = causal_mode == CausalMode::kCausalShiftG || causal_mode == CausalMode::kCausalGiGonly;
  rules.check(use_global_integrator || !global_only, "causal_mode", name_of(causal_mode),
              " sees global slots only, and the global integrator is off; use none, causal_gi or causal_shift");
  if (!use_global_integrator) return;
  rules.in_range("global_slots", global_slots, kMaxSlots);
  rules.divides("num_heads", num_heads, rules.name("bottleneck_dim"), bottleneck_dim);
  if (shared_compressor) rules.in_range("shared_compress_dim", shared_compress_dim, bottleneck_dim);
}

void HiciConfig::check_streamable() const {
  HICI_CHECK_USAGE(
      is_streamable(), "`stream_segments`: causal mode ", name_of(causal_mode),
      " makes global slots from later segments too, so no segment can go first; use `causal_mode` causal_gi");
}

void LoraConfig::validate(const std::string& subject) const {
  const Rules rules(subject);
  rules.in_range("lora_r", rank, kMaxLoraRank);
  rules.check(alpha >= kMinLoraAlpha && alpha <= kMaxLoraAlpha, "lora_alpha", alpha, " is no scale; use ",
              shortest_number(kMinLoraAlpha), " to ", shortest_number(kMaxLoraAlpha), ", such as 16");
  rules.check(!targets.empty(), "lora_targets", "is empty; known: ", lora_target_names());
  for (const std::string& target : targets) {
    rules.check(is_lora_target(target), "lora_targets", shown_json(json(target)),
                " matches no linear layer; known: ", lora_target_names());
  }
}

json to_json(const AdapterSettings& settings) {
  const HiciConfig& hici = settings.hici;
  json out = {{"library", "hici"},
              {"library_version", settings.library_version},
              {"num_segments", hici.num_segments},
              {"num_local_slots", hici.num_local_slots},
              {"global_slots", hici.global_slots},
              {"num_heads", hici.num_heads},
              {"bottleneck_dim", hici.bottleneck_dim},
              {"shared_compress_dim", hici.shared_compress_dim},
              {"causal_mode", name_of(hici.causal_mode)},
              {"use_bottleneck", hici.use_bottleneck},
              {"shared_compressor", hici.shared_compressor},
              {"use_local_constructor", hici.use_local_constructor},
              {"use_global_integrator", hici.use_global_integrator},
              {"rope_factor", settings.rope_factor}};
  if (settings.context_size > 0) out["context_size"] = settings.context_size;
  return out;
}

AdapterSettings parse_adapter_settings(const json& value, const std::string& subject) {
  const JsonObject object(value, subject);
  AdapterSettings out;
  HiciConfig& hici = out.hici;
  out.library_version = object.string_or("library_version", "");
  hici.num_segments = object.integer("num_segments", 1, kMaxSegments);
  hici.num_local_slots = object.integer("num_local_slots", 1, kMaxSlots);
  hici.global_slots = object.integer("global_slots", 1, kMaxSlots);
  hici.num_heads = object.integer("num_heads", 1, kMaxDim);
  hici.bottleneck_dim = object.integer("bottleneck_dim", 1, kMaxDim);
  hici.shared_compress_dim = object.integer("shared_compress_dim", 1, kMaxDim);
  hici.causal_mode = parse_enum<CausalMode>(object.string("causal_mode"), subject + ": causal_mode");
  hici.use_bottleneck = object.boolean_or("use_bottleneck", true);
  hici.shared_compressor = object.boolean_or("shared_compressor", true);
  hici.use_local_constructor = object.boolean_or("use_local_constructor", true);
  hici.use_global_integrator = object.boolean_or("use_global_integrator", true);
  out.context_size = object.integer_or("context_size", 0, 1, kMaxSequenceTokens);
  out.rope_factor = object.number_or("rope_factor", 1);
  HICI_CHECK(out.rope_factor >= 1 && out.rope_factor <= kMaxRopeFactor, subject, ": rope_factor is ", out.rope_factor,
             ", expected 1 to ", kMaxRopeFactor);
  // A key that we do not know may change what the weights mean.
  const json known = to_json(AdapterSettings{.hici = hici, .context_size = 1, .rope_factor = 1, .library_version = ""});
  for (const auto& [key, ignored] : value.items())
    HICI_CHECK(known.contains(key), subject, ": unknown key ", shown_json(json(key)),
               "; was it written by a newer hici (", printable(out.library_version), ")?");
  return out;
}

}  // namespace hici::config
