// SPDX-License-Identifier: Apache-2.0
#include "hici/config/model_config.h"

#include "hici/base/error.h"
#include "hici/base/hub_id.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/base/nearby.h"
#include "hici/config/model_config_keys.h"
#include "hici/config/rope_json.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace hici::config {
namespace {

using nlohmann::json;

// Far above any model of these families; low enough that no product of sizes below leaves 64 bits.
constexpr int64_t kMaxVocabSize = int64_t{1} << 24;
constexpr int64_t kMaxWidth = int64_t{1} << 20;
constexpr int64_t kMaxIntermediate = int64_t{1} << 22;
constexpr int64_t kMaxLayers = int64_t{1} << 12;
constexpr int64_t kMaxHeads = int64_t{1} << 13;
constexpr int64_t kMaxPositions = int64_t{1} << 32;
constexpr int64_t kMaxParameters = int64_t{1} << 43;
constexpr double kMinNormEps = 1e-12, kMaxNormEps = 0.1;  // below, float32 knows no difference to 0

Family parse_family(const JsonObject& object) {
  const std::string type = object.string("model_type");
  if (type == "llama") return Family::kLlama;
  if (type == "qwen3") return Family::kQwen3;
  fail(object.subject(), ": model_type ", shown_json(object.at("model_type")),
       " is not supported; supported: llama, qwen3");
}

void refuse_if_set(const JsonObject& object, const char* key, bool is_set, const char* supported) {
  HICI_CHECK(!is_set, object.subject(), ": ", key, " ", shown_json(object.at(key)), " is not supported; ", supported);
}

// Of Qwen3, where layer_types says nothing.
bool says_sliding_window(const JsonObject& object) {
  return object.boolean_or("use_sliding_window", false) && object.has("sliding_window") &&
         object.integer_or("max_window_layers", 28, 0, kMaxPositions) <
             object.integer("num_hidden_layers", 1, kMaxLayers);
}

// Whatever changes the result of the model must not be skipped over.
void refuse_unsupported(const JsonObject& object, Family family) {
  refuse_if_set(object, "attention_bias", object.boolean_or("attention_bias", false), "supported: false");
  refuse_if_set(object, "mlp_bias", object.boolean_or("mlp_bias", false), "supported: false");
  const std::string activation = object.string_or("hidden_act", "silu");
  refuse_if_set(object, "hidden_act", activation != "silu" && activation != "swish", "supported: silu");
  refuse_if_set(object, "is_causal", !object.boolean_or("is_causal", true), "supported: true");
  refuse_if_set(object, "transformers_weights", object.has("transformers_weights"),
                "call the file model.safetensors and remove the key");
  object.integer_or("pretraining_tp", 1, 0, kMaxWidth);  // the same products in pieces
  refuse_if_set(object, "partial_rotary_factor", object.number_or("partial_rotary_factor", 1) != 1, "supported: 1.0");
  refuse_if_set(object, "quantization_config", object.has("quantization_config"),
                "use the unquantized weights of the model");
  if (family != Family::kQwen3) return;  // Llama never looks at the keys below
  // Layers that are named by layer_types go by it alone; transformers before 4.53 goes by the other keys.
  const bool has_types = object.has("layer_types");
  refuse_if_set(object, "use_sliding_window", !has_types && says_sliding_window(object), "supported: false");
  if (!has_types) return;
  const std::vector<std::string> types = object.strings("layer_types");
  refuse_if_set(object, "layer_types",
                std::any_of(types.begin(), types.end(), [](const auto& t) { return t != "full_attention"; }),
                "supported: full_attention in every layer");
}

void note_what_is_not_used(const JsonObject& object, Family family, std::vector<std::string>& notes) {
  if (std::string unknown = note_of_unknown_keys(object, model_config_keys()); !unknown.empty())
    notes.push_back(std::move(unknown));
  if (object.number_or("attention_dropout", 0) != 0)
    notes.push_back(detail::concat("attention_dropout ", shown_json(object.at("attention_dropout")),
                                   " is not used: hici trains without dropout of attention"));
  if (family == Family::kQwen3 && object.has("layer_types") && says_sliding_window(object))
    notes.push_back(
        "use_sliding_window true contradicts layer_types, which names full attention alone and counts, as in newer "
        "transformers; older ones, without layer_types, slide a window");
}

std::vector<int64_t> parse_token_ids(const JsonObject& object, const std::string& key) {
  if (!object.has(key)) return {};
  const json& value = object.at(key);
  if (!value.is_array()) return {object.integer(key, -1, kMaxVocabSize)};
  HICI_CHECK(value.size() <= 256, object.subject(), ": ", key, " lists ", value.size(), " ids; expected at most 256");
  std::vector<int64_t> ids;
  for (const json& item : value) {
    const json one = {{key, item}};
    ids.push_back(JsonObject(one, object.subject()).integer(key, -1, kMaxVocabSize));
  }
  return ids;
}

void parse_sizes(const JsonObject& object, ModelConfig& config) {
  config.vocab_size = object.integer("vocab_size", 1, kMaxVocabSize);
  config.hidden_size = object.integer("hidden_size", 1, kMaxWidth);
  config.intermediate_size = object.integer("intermediate_size", 1, kMaxIntermediate);
  config.num_hidden_layers = object.integer("num_hidden_layers", 1, kMaxLayers);
  config.num_attention_heads = object.integer("num_attention_heads", 1, kMaxHeads);
  config.max_position_embeddings = object.integer("max_position_embeddings", 1, kMaxPositions);
  if (config.family == Family::kLlama) {  // old Llama files say neither; Qwen3's always do, and no rule replaces them
    config.num_key_value_heads = object.integer_or("num_key_value_heads", config.num_attention_heads, 1, kMaxHeads);
    HICI_CHECK(object.has("head_dim") || config.hidden_size % config.num_attention_heads == 0, object.subject(),
               ": num_attention_heads ", config.num_attention_heads, " does not divide hidden_size ",
               config.hidden_size, "; the file must give head_dim");
    config.head_dim = object.integer_or(
        "head_dim", std::max<int64_t>(1, config.hidden_size / config.num_attention_heads), 1, kMaxHeads);
  } else {
    config.num_key_value_heads = object.integer("num_key_value_heads", 1, kMaxHeads);
    config.head_dim = object.integer("head_dim", 1, kMaxHeads);
  }
}

std::string parse_dtype(const JsonObject& object) {
  const std::string newer = object.string_or("dtype", "float32");
  const std::string name = object.string_or("torch_dtype", newer);
  return name.rfind("torch.", 0) == 0 ? name.substr(6) : name;
}

struct Range {
  const char* name;
  int64_t value;
  int64_t high;
};

// What `hici merge` writes for its Python files: a directory made of this one has them not, or writes it anew.
json without_remote_code(json value) {
  const auto map = value.find("auto_map");
  if (map != value.end() && map->dump().find("modeling_hici.") != std::string::npos) value.erase(map);
  for (const char* key : {"hici", "hici_cache_slots", "hici_num_segments", "hici_segment_length"}) value.erase(key);
  return value;
}

}  // namespace

int64_t ModelConfig::num_parameters() const {
  const int64_t query_width = num_attention_heads * head_dim, key_width = num_key_value_heads * head_dim;
  const int64_t attention = hidden_size * (2 * query_width + 2 * key_width) + (qk_norm() ? 2 * head_dim : 0);
  const int64_t layer = attention + 3 * hidden_size * intermediate_size + 2 * hidden_size;
  return vocab_size * hidden_size * (tie_word_embeddings ? 1 : 2) + num_hidden_layers * layer + hidden_size;
}

void ModelConfig::validate(const std::string& subject) const {
  const Range ranges[] = {{"vocab_size", vocab_size, kMaxVocabSize},
                          {"hidden_size", hidden_size, kMaxWidth},
                          {"intermediate_size", intermediate_size, kMaxIntermediate},
                          {"num_hidden_layers", num_hidden_layers, kMaxLayers},
                          {"num_attention_heads", num_attention_heads, kMaxHeads},
                          {"num_key_value_heads", num_key_value_heads, kMaxHeads},
                          {"head_dim", head_dim, kMaxHeads},
                          {"max_position_embeddings", max_position_embeddings, kMaxPositions}};
  for (const Range& range : ranges)
    HICI_CHECK(range.value >= 1 && range.value <= range.high, subject, ": ", range.name, " is ", range.value,
               ", expected 1 to ", range.high);
  HICI_CHECK(head_dim % 2 == 0, subject, ": head_dim ", head_dim, " is odd; the rotary embedding needs an even one");
  HICI_CHECK(num_attention_heads % num_key_value_heads == 0, subject, ": num_key_value_heads ", num_key_value_heads,
             " does not divide num_attention_heads ", num_attention_heads,
             "; each key head serves the same number of query heads");
  HICI_CHECK(num_attention_heads * head_dim <= kMaxWidth, subject, ": num_attention_heads ", num_attention_heads,
             " times head_dim ", head_dim, " is more than ", kMaxWidth, "; no model of these families is that wide");
  HICI_CHECK(num_parameters() <= kMaxParameters, subject, ": its sizes make ", num_parameters(),
             " weights, more than the ", kMaxParameters, " allowed; is the file damaged?");
  HICI_CHECK(rms_norm_eps >= kMinNormEps && rms_norm_eps <= kMaxNormEps, subject, ": rms_norm_eps is ", rms_norm_eps,
             ", expected ", kMinNormEps, " to ", kMaxNormEps);
  validate_rope(rope, head_dim, subject);
}

ModelConfig parse_model_config(const json& value, const std::string& subject) {
  const JsonObject object(value, subject);
  ModelConfig config;
  config.family = parse_family(object);
  refuse_unsupported(object, config.family);
  parse_sizes(object, config);
  config.rms_norm_eps = object.number_or("rms_norm_eps", 1e-6);
  config.tie_word_embeddings = object.boolean_or("tie_word_embeddings", false);
  config.rope = parse_rope(object, config.max_position_embeddings, config.head_dim, config.notes);
  note_what_is_not_used(object, config.family, config.notes);
  config.torch_dtype = parse_dtype(object);
  config.eos_token_id = parse_token_ids(object, "eos_token_id");
  if (object.has("bos_token_id")) config.bos_token_id = object.integer("bos_token_id", -1, kMaxVocabSize);
  config.source = without_remote_code(value);
  config.validate(subject);
  return config;
}

ModelConfig read_model_config(const std::filesystem::path& dir) {
  HICI_CHECK(std::filesystem::is_directory(dir), dir.string(),
             ": is no directory; expected a Hugging Face model directory", hub_hint(dir, HubKind::kModel));
  const std::filesystem::path file = dir / "config.json";
  HICI_CHECK(is_there(file), dir.string(), ": has no config.json; expected a Hugging Face model directory",
             found_nearby(dir, [](const auto& inner) { return is_there(inner / "config.json"); }));
  return parse_model_config(read_companion_json(file), file.string());
}

json to_json(const ModelConfig& config) {
  json out = config.source.is_object() ? config.source : json::object();
  out["model_type"] = name_of(config.family);
  if (!out.contains("architectures"))
    out["architectures"] = {config.family == Family::kLlama ? "LlamaForCausalLM" : "Qwen3ForCausalLM"};
  if (!out.contains("hidden_act")) out["hidden_act"] = "silu";
  if (!out.contains("attention_bias")) out["attention_bias"] = false;
  out["vocab_size"] = config.vocab_size;
  out["hidden_size"] = config.hidden_size;
  out["intermediate_size"] = config.intermediate_size;
  out["num_hidden_layers"] = config.num_hidden_layers;
  out["num_attention_heads"] = config.num_attention_heads;
  out["num_key_value_heads"] = config.num_key_value_heads;
  out["head_dim"] = config.head_dim;
  out["max_position_embeddings"] = config.max_position_embeddings;
  out["rms_norm_eps"] = config.rms_norm_eps;
  out["tie_word_embeddings"] = config.tie_word_embeddings;
  out["torch_dtype"] = config.torch_dtype;
  if (out.contains("dtype")) out["dtype"] = config.torch_dtype;
  out["bos_token_id"] = config.bos_token_id ? json(*config.bos_token_id) : json(nullptr);
  if (config.eos_token_id.empty()) out["eos_token_id"] = nullptr;
  if (config.eos_token_id.size() == 1) out["eos_token_id"] = config.eos_token_id.front();
  if (config.eos_token_id.size() > 1) out["eos_token_id"] = config.eos_token_id;
  put_rope(config, out);
  return out;
}

}  // namespace hici::config
