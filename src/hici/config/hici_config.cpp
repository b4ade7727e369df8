// SPDX-License-Identifier: Apache-2.0
#include "hici/config/hici_config.h"

#include "hici/base/error.h"
#include "hici/base/field_text.h"
#include "hici/base/human.h"
#include "hici/base/json.h"
#include "hici/config/bounds.h"
#include "hici/config/divides.h"
#include "hici/config/rope.h"
#include "hici/config/value_rules.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace hici::config {
namespace {

using nlohmann::json;

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
  // Of a width that is free: the next ones that the heads divide.
  const int64_t below = bottleneck_dim / num_heads * num_heads;
  const std::string other_width =
      detail::concat(", or ", rules.name("bottleneck_dim"), " ", below > 0 ? std::to_string(below).append(" or ") : "",
                     below + num_heads);
  const auto check_heads = [&] {
    const std::string reason = why_not_a_divisor(num_heads, rules.name("bottleneck_dim"), bottleneck_dim);
    rules.check(reason.empty(), "num_heads", reason, subject.empty() ? other_width : "");
  };
  if (use_bottleneck) {
    check_heads();
  } else {
    rules.divides("num_heads", num_heads, "the model's hidden_size", hidden_size);
  }
  const bool global_only = causal_mode == CausalMode::kCausalShiftG || causal_mode == CausalMode::kCausalGiGonly;
  rules.check(use_global_integrator || !global_only, "causal_mode", name_of(causal_mode),
              " sees global slots only, and the global integrator is off; use none, causal_gi or causal_shift");
  if (!use_global_integrator) return;
  rules.in_range("global_slots", global_slots, kMaxSlots);
  check_heads();
  if (shared_compressor) rules.in_range("shared_compress_dim", shared_compress_dim, bottleneck_dim);
}

void HiciConfig::check_streamable() const {
  HICI_CHECK_USAGE(
      is_streamable(), "`stream_segments`: causal mode ", name_of(causal_mode),
      " makes global slots from later segments too, so no segment can go first; use `causal_mode` causal_gi");
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
