// SPDX-License-Identifier: Apache-2.0
#include "hici/config/rope_json.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
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

// Which release's rules. They differ in what goes before what.
enum class Reader { kTransformers5, kTransformers4 };

bool has_original_length(RopeType type) { return type != RopeType::kDefault && type != RopeType::kLinear; }

RopeType parse_rope_type(const JsonObject& scaling, Reader reader) {
  const char *first = "rope_type", *second = "type";
  if (reader == Reader::kTransformers4) std::swap(first, second);
  const std::string name = scaling.string_or(first, scaling.string_or(second, "default"));
  if (const std::optional<RopeType> type = find_enum<RopeType>(name)) return *type;
  fail(scaling.subject(), ": RoPE type ", shown_json(json(name)),
       " is not supported; supported: default, linear, llama3, yarn, longrope");
}

// Some files have a whole number as 32768.0.
int64_t positions(const JsonObject& object, const char* key) {
  const double value = object.number(key);
  HICI_CHECK(value == std::floor(value) && value >= 1 && value <= static_cast<double>(kMaxOriginalPositions),
             object.subject(), ": ", key, " is ", shown_json(object.at(key)), ", expected a whole number from 1 to ",
             kMaxOriginalPositions);
  return static_cast<int64_t>(value);
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

void parse_longrope(const JsonObject& scaling, RopeConfig& rope) {
  rope.pair_factors = parse_pair_factors(scaling, "short_factor");
  HICI_CHECK(
      rope.pair_factors == parse_pair_factors(scaling, "long_factor"), scaling.subject(),
      ": short_factor and long_factor differ, so that angles depend on the length; supported: the same for both");
  rope.attention_factor = scaling.optional_number("attention_factor");
}

// What is outside the form.
struct Outside {
  double theta = 10000;
  int64_t max_position_embeddings = 0;
  std::optional<int64_t> original;  // original_max_position_embeddings

  double grown_from(int64_t length) const {
    return static_cast<double>(max_position_embeddings) / static_cast<double>(length);
  }
};

void refuse_unsupported(const JsonObject& scaling) {
  for (const char* layer_type : {"full_attention", "sliding_attention"})
    HICI_CHECK(!scaling.has(layer_type), scaling.subject(), ": differs by layer type (", layer_type,
               "), which is not supported; one for all layers is");
  HICI_CHECK(scaling.number_or("partial_rotary_factor", 1) == 1, scaling.subject(), ": partial_rotary_factor ",
             shown_json(scaling.at("partial_rotary_factor")), " is not supported; supported: 1.0");
}

int64_t original_length(const JsonObject& scaling, const Outside& outside, RopeType type, Reader reader) {
  const char* key = "original_max_position_embeddings";
  if (reader == Reader::kTransformers5 && outside.original) return *outside.original;
  if (reader == Reader::kTransformers4 && type == RopeType::kLongrope)
    return outside.original.value_or(outside.max_position_embeddings);
  return scaling.has(key) ? positions(scaling, key) : outside.max_position_embeddings;
}

double factor_of(const JsonObject& scaling, const Outside& outside, const RopeConfig& rope, Reader reader) {
  const double grown =
      rope.original_max_position_embeddings > 0 ? outside.grown_from(rope.original_max_position_embeddings) : 1;
  const bool is_implied = reader == Reader::kTransformers4 &&
                          ((rope.type == RopeType::kYarn && scaling.has("original_max_position_embeddings")) ||
                           (rope.type == RopeType::kLongrope && outside.original));
  if (rope.type == RopeType::kLongrope)
    return is_implied ? std::max(1.0, grown) : scaling.number_or("factor", std::max(1.0, grown));
  if (is_implied || (rope.type == RopeType::kYarn && !scaling.has("factor"))) return grown;
  return scaling.number("factor");
}

// One form: the object under rope_scaling or rope_parameters, or null when there is none.
RopeConfig parse_form(const json& value, const std::string& subject, const Outside& outside, Reader reader) {
  RopeConfig rope;
  rope.theta = outside.theta;
  if (value.is_null() || (value.is_object() && value.empty())) return rope;
  const JsonObject scaling(value, subject);
  refuse_unsupported(scaling);
  rope.type = parse_rope_type(scaling, reader);
  if (reader == Reader::kTransformers5) rope.theta = scaling.number_or("rope_theta", outside.theta);
  if (rope.type == RopeType::kDefault) return rope;
  if (has_original_length(rope.type))
    rope.original_max_position_embeddings = original_length(scaling, outside, rope.type, reader);
  rope.factor = factor_of(scaling, outside, rope, reader);
  if (rope.type == RopeType::kLongrope) parse_longrope(scaling, rope);
  if (rope.type == RopeType::kYarn) parse_yarn(scaling, rope);
  if (rope.type == RopeType::kYarn && reader == Reader::kTransformers4) rope.truncate = true;
  if (rope.type == RopeType::kLlama3) {
    rope.low_freq_factor = scaling.number("low_freq_factor");
    rope.high_freq_factor = scaling.number("high_freq_factor");
  }
  return rope;
}

// Whether two readings turn queries and keys by the same angles.
bool have_same_effect(const RopeConfig& a, const RopeConfig& b, int64_t head_dim) {
  return rope_attention_scale(a) == rope_attention_scale(b) &&
         rope_inverse_frequencies(a, head_dim) == rope_inverse_frequencies(b, head_dim);
}

std::string shown(const RopeConfig& rope) {
  std::string out = detail::concat(name_of(rope.type), ", theta ", shortest_number(rope.theta));
  if (rope.type != RopeType::kDefault) out.append(", factor ").append(shortest_number(rope.factor));
  if (has_original_length(rope.type))
    out.append(", original length ").append(std::to_string(rope.original_max_position_embeddings));
  if (rope.type == RopeType::kYarn && !rope.truncate) out.append(", not truncated");
  return out;
}

double default_attention_factor(RopeConfig rope) {
  rope.attention_factor.reset();
  return rope_attention_scale(rope);
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
  // Many programs ignore it, or another than the default.
  if (rope.attention_factor && *rope.attention_factor != default_attention_factor(rope))
    out["attention_factor"] = *rope.attention_factor;
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
  // The usual one follows from the factor, which grows.
  if (rope.type == RopeType::kLongrope) rope.attention_factor = rope_attention_scale(rope);
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

constexpr const char *kOlder = "rope_scaling", *kNewer = "rope_parameters";

// The two forms of a config.json, as one release or another reads them.
class RopeForms {
 public:
  RopeForms(const JsonObject& config, int64_t max_position_embeddings, int64_t head_dim)
      : config_(config), head_dim_(head_dim) {
    outside_ = {config.number_or("rope_theta", 10000), max_position_embeddings, {}};
    const char* original = "original_max_position_embeddings";
    if (config.has(original)) outside_.original = positions(config, original);
  }

  bool has(const char* key) const { return config_.has(key) && !config_.at(key).empty(); }

  RopeConfig read(const char* key, Reader reader) const {
    const json value = config_.has(key) ? config_.at(key) : json(nullptr);
    RopeConfig rope = parse_form(value, config_.subject() + ": " + key, outside_, reader);
    validate_rope(rope, head_dim_, config_.subject());
    return rope;
  }

  // What `reader` makes of the form, where that is not `taken`; else empty.
  std::string other_than(const RopeConfig& taken, const char* key, Reader reader) const {
    try {
      const RopeConfig other = read(key, reader);
      return have_same_effect(taken, other, head_dim_) ? "" : shown(other);
    } catch (const Error&) {
      return "an error";
    }
  }

 private:
  const JsonObject& config_;
  int64_t head_dim_;
  Outside outside_;
};

}  // namespace

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

RopeConfig parse_rope(const JsonObject& config, int64_t max_position_embeddings, int64_t head_dim,
                      std::vector<std::string>& notes) {
  const RopeForms forms(config, max_position_embeddings, head_dim);
  const bool has_older = forms.has(kOlder);
  const RopeConfig taken = forms.read(has_older ? kOlder : kNewer, Reader::kTransformers5);
  const std::string newer = forms.other_than(taken, kNewer, Reader::kTransformers5);
  if (has_older && forms.has(kNewer) && !newer.empty())
    notes.push_back(detail::concat("rope_scaling (", shown(taken), ") goes before rope_parameters (", newer,
                                   "), as in transformers 5"));
  if (const std::string before = forms.other_than(taken, kOlder, Reader::kTransformers4); !before.empty())
    notes.push_back(detail::concat("its rotary embedding is ", shown(taken),
                                   " for transformers 5, which hici follows, and ", before, " for transformers 4.51"));
  return taken;
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
  // There transformers 4 looks for longrope's, and transformers 5 for everybody's.
  const char* original = "original_max_position_embeddings";
  if (written.type == RopeType::kLongrope || (config.contains(original) && has_original_length(written.type)))
    config[original] = written.original_max_position_embeddings;
}

std::string readers_of_rope(const ModelConfig& model) {
  const RopeConfig written = with_context_factor_folded(model);
  if (written.type == RopeType::kLongrope)
    return "its rotary embedding is of type longrope, which transformers (4.43 and later), OpenVINO and hici read; "
           "mlx-lm loses the attention_factor, as with yarn, and onnxruntime-genai, CTranslate2 and llama.cpp's "
           "converter "
           "lose or refuse it";
  if (written.type == RopeType::kLlama3 && model.family == Family::kQwen3)
    return "its rotary embedding is of type llama3 on Qwen3, which transformers, OpenVINO, mlx-lm and hici read; "
           "onnxruntime-genai and CTranslate2 refuse it, and llama.cpp's converter loses it";
  if (written.type == RopeType::kYarn && written.attention_factor &&
      *written.attention_factor != default_attention_factor(written))
    return "its yarn has an attention_factor of its own, which transformers, OpenVINO and hici read; mlx-lm, "
           "onnxruntime-genai and llama.cpp's converter lose it, and CTranslate2 refuses yarn";
  if (written.type == RopeType::kYarn)
    return "its rotary embedding is of type yarn, which onnxruntime-genai reads otherwise and CTranslate2 refuses";
  return "";
}

}  // namespace hici::config
