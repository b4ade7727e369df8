// SPDX-License-Identifier: Apache-2.0
#include "hici/config/rope_json.h"

#include "hici/base/error.h"
#include "hici/config/rope.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace hici::config {
namespace {

using nlohmann::json;

constexpr size_t kMaxPairs = size_t{1} << 13;
constexpr int64_t kMaxOriginalPositions = int64_t{1} << 32;
constexpr double kMaxTheta = 1e15;
// Of what divides wavelengths (llama3), counts turns (yarn) or scales cosine and sine: beyond lies no model, and soon
// what float32 does not hold.
constexpr double kLeast = 1e-6, kMost = 1e6;

RopeType parse_rope_type(const JsonObject& scaling) {
  const std::string older = scaling.string_or("type", "default");
  const std::string name = scaling.string_or("rope_type", older);
  HICI_CHECK(!scaling.has("type") || older == name, scaling.subject(), ": rope_type ",
             shown_json(scaling.at("rope_type")), " and type ", shown_json(scaling.at("type")),
             " contradict each other; keep one of them");
  if (const std::optional<RopeType> type = find_enum<RopeType>(name)) return *type;
  fail(scaling.subject(), ": RoPE type ", shown_json(json(name)),
       " is not supported; supported: default, linear, llama3, yarn, longrope");
}

void parse_yarn(const JsonObject& scaling, RopeConfig& rope) {
  const auto number_or = [&](const char* key, double absent) {  // transformers reads 0 as absent
    const double value = scaling.number_or(key, absent);
    return value == 0 ? absent : value;
  };
  rope.beta_fast = number_or("beta_fast", 32);
  rope.beta_slow = number_or("beta_slow", 1);
  rope.attention_factor = scaling.optional_number("attention_factor");
  rope.mscale = scaling.optional_number("mscale");
  rope.mscale_all_dim = scaling.optional_number("mscale_all_dim");
  rope.truncate = scaling.boolean_or("truncate", true);
}

std::vector<double> parse_pair_factors(const JsonObject& scaling, const char* key) {
  const json& list = scaling.at(key);
  HICI_CHECK(list.is_array() && !list.empty() && list.size() <= kMaxPairs, scaling.subject(), ": ", key, " is ",
             shown_json(list), ", expected a number for each pair of a head's dimensions");
  std::vector<double> out;
  for (const json& item : list) {
    const json one = {{key, item}};
    out.push_back(JsonObject(one, scaling.subject()).number(key));
  }
  return out;
}

void parse_longrope(const JsonObject& scaling, int64_t max_position_embeddings, RopeConfig& rope) {
  rope.pair_factors = parse_pair_factors(scaling, "short_factor");
  HICI_CHECK(
      rope.pair_factors == parse_pair_factors(scaling, "long_factor"), scaling.subject(),
      ": short_factor and long_factor differ, so that angles depend on the length; supported: the same for both");
  rope.attention_factor = scaling.optional_number("attention_factor");
  const double grown =
      static_cast<double>(max_position_embeddings) / static_cast<double>(rope.original_max_position_embeddings);
  rope.factor = scaling.number_or("factor", std::max(1.0, grown));
}

// One form: the object under rope_scaling or rope_parameters, or null when there is none.
RopeConfig parse_form(const json& value, const std::string& subject, double theta, int64_t max_position_embeddings) {
  RopeConfig rope;
  rope.theta = theta;
  if (value.is_null()) return rope;
  const JsonObject scaling(value, subject);
  for (const char* layer_type : {"full_attention", "sliding_attention"})
    HICI_CHECK(!scaling.has(layer_type), subject, ": differs by layer type (", layer_type,
               "), which is not supported; one for all layers is");
  HICI_CHECK(scaling.number_or("partial_rotary_factor", 1) == 1, subject, ": partial_rotary_factor ",
             shown_json(scaling.at("partial_rotary_factor")), " is not supported; supported: 1.0");
  rope.type = parse_rope_type(scaling);
  rope.theta = scaling.number_or("rope_theta", theta);
  if (rope.type == RopeType::kDefault) return rope;
  if (rope.type != RopeType::kLinear)
    rope.original_max_position_embeddings =
        scaling.integer_or("original_max_position_embeddings", max_position_embeddings, 1, kMaxOriginalPositions);
  if (rope.type == RopeType::kLongrope) {
    parse_longrope(scaling, max_position_embeddings, rope);
    return rope;
  }
  if (rope.type == RopeType::kYarn && !scaling.has("factor")) {
    rope.factor =
        static_cast<double>(max_position_embeddings) / static_cast<double>(rope.original_max_position_embeddings);
  } else {
    rope.factor = scaling.number("factor");
  }
  if (rope.type == RopeType::kYarn) parse_yarn(scaling, rope);
  if (rope.type == RopeType::kLlama3) {
    rope.low_freq_factor = scaling.number("low_freq_factor");
    rope.high_freq_factor = scaling.number("high_freq_factor");
  }
  return rope;
}

bool same(const RopeConfig& a, const RopeConfig& b) {
  return a.type == b.type && a.theta == b.theta && a.factor == b.factor && a.low_freq_factor == b.low_freq_factor &&
         a.high_freq_factor == b.high_freq_factor &&
         a.original_max_position_embeddings == b.original_max_position_embeddings && a.beta_fast == b.beta_fast &&
         a.beta_slow == b.beta_slow && a.attention_factor == b.attention_factor && a.mscale == b.mscale &&
         a.mscale_all_dim == b.mscale_all_dim && a.truncate == b.truncate && a.pair_factors == b.pair_factors;
}

// The scaling as transformers 4 reads it; null when there is none.
json scaling_json(const RopeConfig& rope) {
  if (rope.type == RopeType::kDefault) return nullptr;
  // 4.33 to 4.42 accept exactly these two keys and a JSON float; later releases still read "type".
  if (rope.type == RopeType::kLinear) return {{"type", "linear"}, {"factor", rope.factor}};
  json out = {{"rope_type", name_of(rope.type)},
              {"factor", rope.factor},
              {"original_max_position_embeddings", rope.original_max_position_embeddings}};
  if (rope.type == RopeType::kLlama3) {
    out["low_freq_factor"] = rope.low_freq_factor;
    out["high_freq_factor"] = rope.high_freq_factor;
    return out;
  }
  if (rope.type == RopeType::kLongrope) {
    out["short_factor"] = out["long_factor"] = rope.pair_factors;
    if (rope.attention_factor) out["attention_factor"] = *rope.attention_factor;
    return out;
  }
  out["beta_fast"] = rope.beta_fast;
  out["beta_slow"] = rope.beta_slow;
  if (rope.attention_factor) out["attention_factor"] = *rope.attention_factor;
  if (rope.mscale) out["mscale"] = *rope.mscale;
  if (rope.mscale_all_dim) out["mscale_all_dim"] = *rope.mscale_all_dim;
  if (!rope.truncate) out["truncate"] = false;
  return out;
}

// The frequencies that llama3 or yarn and a context factor on top make, pair by pair.
RopeConfig as_longrope(const ModelConfig& model) {
  RopeConfig out;
  out.type = RopeType::kLongrope;
  out.theta = model.rope.theta;
  out.original_max_position_embeddings = static_cast<int64_t>(std::ceil(rope_reach(model)));
  out.factor = model.rope.context_factor;
  out.attention_factor = rope_attention_scale(model.rope);
  const std::vector<double> frequencies = rope_inverse_frequencies(model.rope, model.head_dim);
  for (size_t i = 0; i < frequencies.size(); ++i) {
    const double base = std::pow(out.theta, -2.0 * static_cast<double>(i) / static_cast<double>(model.head_dim));
    out.pair_factors.push_back(base / frequencies[i]);
  }
  return out;
}

// A context factor folded into a type that can express it.
RopeConfig with_context_factor_folded(const ModelConfig& model) {
  RopeConfig rope = model.rope;
  if (rope.context_factor == 1) return rope;
  if (rope.type == RopeType::kLlama3 || rope.type == RopeType::kYarn) return as_longrope(model);
  if (rope.type == RopeType::kDefault) rope.type = RopeType::kLinear;
  rope.factor *= rope.context_factor;
  for (double& factor : rope.pair_factors) factor *= rope.context_factor;
  rope.context_factor = 1;
  return rope;
}

// False for nan, as every comparison with it.
void check_range(const std::string& subject, const char* name, double value, double low, double high) {
  HICI_CHECK(value >= low && value <= high, subject, ": ", name, " is ", value, ", expected ", low, " to ", high);
}

void validate_llama3(const RopeConfig& rope, const std::string& subject) {
  check_range(subject, "low_freq_factor", rope.low_freq_factor, kLeast, kMost);
  check_range(subject, "high_freq_factor", rope.high_freq_factor, kLeast, kMost);
  HICI_CHECK(rope.high_freq_factor > rope.low_freq_factor, subject, ": low_freq_factor ", rope.low_freq_factor,
             " and high_freq_factor ", rope.high_freq_factor, " do not fit; expected 0 < low < high");
}

void validate_longrope(const RopeConfig& rope, int64_t head_dim, const std::string& subject) {
  HICI_CHECK(static_cast<int64_t>(rope.pair_factors.size()) == head_dim / 2, subject, ": short_factor has ",
             rope.pair_factors.size(), " numbers, expected ", head_dim / 2, ", half of head_dim");
  for (const double factor : rope.pair_factors)
    HICI_CHECK(factor >= 1 / kMaxRopeFactor && factor <= kMaxRopeFactor, subject, ": short_factor holds ", factor,
               ", expected ", 1 / kMaxRopeFactor, " to ", kMaxRopeFactor);
  HICI_CHECK(rope.attention_factor || rope.original_max_position_embeddings > 1, subject,
             ": original_max_position_embeddings is 1, so that attention_factor cannot be computed; give it");
}

void validate_yarn(const RopeConfig& rope, const std::string& subject) {
  check_range(subject, "beta_fast", rope.beta_fast, kLeast, kMost);
  check_range(subject, "beta_slow", rope.beta_slow, kLeast, kMost);
  HICI_CHECK(rope.beta_fast >= rope.beta_slow, subject, ": beta_fast ", rope.beta_fast, " and beta_slow ",
             rope.beta_slow, " do not fit; expected 0 < beta_slow <= beta_fast");
  for (const auto& [name, value] : {std::pair{"mscale", rope.mscale}, std::pair{"mscale_all_dim", rope.mscale_all_dim}})
    check_range(subject, name, value.value_or(1), -kMost, kMost);
  const double scale = rope_attention_scale(rope);
  HICI_CHECK(scale >= kLeast && scale <= kMost, subject, ": mscale ", rope.mscale.value_or(0), " and mscale_all_dim ",
             rope.mscale_all_dim.value_or(0), " scale attention by ", scale, ", expected ", kLeast, " to ", kMost);
}

}  // namespace

RopeConfig parse_rope(const JsonObject& config, int64_t max_position_embeddings) {
  const double theta = config.number_or("rope_theta", 10000);
  const auto form = [&](const char* key) {
    const json value = config.has(key) ? config.at(key) : json(nullptr);
    return parse_form(value, config.subject() + ": " + key, theta, max_position_embeddings);
  };
  if (!config.has("rope_parameters")) return form("rope_scaling");
  const RopeConfig newer = form("rope_parameters");
  // transformers 5 lets rope_scaling win, transformers 4 knows nothing else: a file that says two things is refused.
  const bool theta_agrees = !config.has("rope_theta") || theta == newer.theta;
  const bool older_agrees = !config.has("rope_scaling") || same(form("rope_scaling"), newer);
  HICI_CHECK(theta_agrees && older_agrees, config.subject(), ": rope_parameters and ",
             theta_agrees ? "rope_scaling" : "rope_theta", " contradict each other; make them agree, or remove one");
  return newer;
}

void validate_rope(const RopeConfig& rope, int64_t head_dim, const std::string& subject) {
  HICI_CHECK(rope.theta > 1 && rope.theta <= kMaxTheta, subject, ": rope_theta is ", rope.theta,
             ", expected more than 1, up to ", kMaxTheta);
  check_range(subject, "RoPE factor", rope.factor, 1, kMaxRopeFactor);
  check_range(subject, "RoPE context factor", rope.context_factor, 1, kMaxRopeFactor);
  if (rope.attention_factor) check_range(subject, "attention_factor", *rope.attention_factor, kLeast, kMost);
  if (rope.type == RopeType::kLlama3) validate_llama3(rope, subject);
  if (rope.type == RopeType::kLongrope) validate_longrope(rope, head_dim, subject);
  if (rope.type == RopeType::kYarn) validate_yarn(rope, subject);
}

void put_rope(const ModelConfig& model, json& config) {
  const RopeConfig written = with_context_factor_folded(model);
  json scaling = scaling_json(written);
  config["rope_theta"] = written.theta;
  config["rope_scaling"] = scaling;
  if (scaling.is_null()) scaling = json::object();
  scaling.erase("type");
  scaling["rope_type"] = name_of(written.type);
  scaling["rope_theta"] = written.theta;
  config["rope_parameters"] = scaling;
}

}  // namespace hici::config
