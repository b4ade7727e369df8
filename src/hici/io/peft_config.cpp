// SPDX-License-Identifier: Apache-2.0
#include "hici/io/peft_config.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/json.h"
#include "hici/base/known_keys.h"
#include "hici/base/lower_case.h"
#include "hici/config/bounds.h"

#include <algorithm>
#include <array>
#include <cctype>

namespace hici::io {
namespace {

using nlohmann::json;

constexpr size_t kMaxPatterns = 2000;
constexpr std::string_view kMergeThere =
    "merge it into its base with PEFT (merge_and_unload) and give the merged model";

// Every field of peft.LoraConfig in 0.21, and those of earlier releases.
constexpr std::array kPeftKeys{
    KnownKey{"alora_invocation_tokens", KeyUse::kRefused, "activated LoRA acts from these tokens on"},
    KnownKey{"alpha_pattern", KeyUse::kRead, "alpha by module, PEFT's matching rule"},
    KnownKey{"arrow_config", KeyUse::kRefused, "routing between adapters"},
    KnownKey{"auto_mapping", KeyUse::kNeutral, "which class loads the base"},
    KnownKey{"base_model_name_or_path", KeyUse::kRead, "for messages, and the check of a second merge"},
    KnownKey{"bias", KeyUse::kRead,
             "none, all or lora_only: Llama and Qwen3 have no biases, and tensors of biases are refused"},
    KnownKey{"corda_config", KeyUse::kNeutral, "acts with init_lora_weights corda, which is refused"},
    KnownKey{"enable_lora", KeyUse::kRefused, "parts of a joint projection (PEFT 0.2)"},
    KnownKey{"ensure_weight_tying", KeyUse::kRead, "with a tied base"},
    KnownKey{"eva_config", KeyUse::kNeutral, "initial values; the base stays as it is"},
    KnownKey{"exclude_modules", KeyUse::kRead, "compared with the tensors"},
    KnownKey{"fan_in_fan_out", KeyUse::kNeutral, "PEFT takes false for linear layers"},
    KnownKey{"inference_mode", KeyUse::kNeutral, ""},
    KnownKey{
        "init_lora_weights", KeyUse::kRead,
        "true, false, gaussian, eva, orthogonal, mica; pissa, olora, corda, lora_ga and loftq change the base and are "
        "refused"},
    KnownKey{"kasa_config", KeyUse::kRefused, "a truncated base and singular values between the factors"},
    KnownKey{"layer_replication", KeyUse::kRefused, "a model of repeated layers"},
    KnownKey{"layers_pattern", KeyUse::kRead, "compared with the tensors"},
    KnownKey{"layers_to_transform", KeyUse::kRead, "compared with the tensors"},
    KnownKey{"loftq_config", KeyUse::kNeutral, "acts with init_lora_weights loftq, which is refused"},
    KnownKey{"lora_alpha", KeyUse::kRead, ""},
    KnownKey{"lora_bias", KeyUse::kRead, "a bias beside B; not for merging and training"},
    KnownKey{"lora_dropout", KeyUse::kRead,
             "of training alone, where the option of this name decides; a line says when they differ"},
    KnownKey{"lora_dtype", KeyUse::kNeutral, "of the factors in training (ms-swift)"},
    KnownKey{"lora_ga_config", KeyUse::kNeutral, "acts with init_lora_weights lora_ga, which is refused"},
    KnownKey{"lorap_emb_lr", KeyUse::kNeutral, "a rate of training (ms-swift)"},
    KnownKey{"lorap_lr_ratio", KeyUse::kNeutral, "a rate of training (ms-swift)"},
    KnownKey{"megatron_config", KeyUse::kRefused, "layers of Megatron"},
    KnownKey{"megatron_core", KeyUse::kNeutral, "acts with megatron_config, which is refused"},
    KnownKey{"merge_weights", KeyUse::kNeutral, "how PEFT 0.2 evaluates"},
    KnownKey{"modules_to_save", KeyUse::kRead, "modules that are stored whole"},
    KnownKey{"monteclora_config", KeyUse::kRefused, "samples around the factors"},
    KnownKey{"peft_type", KeyUse::kRead, "LORA"},
    KnownKey{"peft_version", KeyUse::kNeutral, ""},
    KnownKey{"qalora_group_size", KeyUse::kNeutral, "acts with use_qalora, which is refused"},
    KnownKey{"r", KeyUse::kRead, ""},
    KnownKey{"rank_pattern", KeyUse::kRead, "rank by module, PEFT's matching rule"},
    KnownKey{"revision", KeyUse::kNeutral, "of the base on the Hub"},
    KnownKey{"runtime_config", KeyUse::kNeutral, "where initial values are computed"},
    KnownKey{"target_modules", KeyUse::kRead, "compared with the tensors; null: q_proj and v_proj, as PEFT"},
    KnownKey{"target_parameters", KeyUse::kRefused, "factors of parameters that are no linear layer"},
    KnownKey{"task_type", KeyUse::kRead, "CAUSAL_LM or null"},
    KnownKey{"trainable_token_indices", KeyUse::kRead, "rows of embedding or head that are stored whole"},
    KnownKey{"use_bdlora", KeyUse::kRefused, "block-diagonal factors"},
    KnownKey{"use_dora", KeyUse::kRead, "a magnitude for each row; not for training"},
    KnownKey{"use_qalora", KeyUse::kRefused, "pooled inputs of quantized layers"},
    KnownKey{"use_rslora", KeyUse::kRead, "scale alpha / sqrt(r)"},
    KnownKey{"velora_config", KeyUse::kRefused, "compressed activations in its backward pass"},
};

// How PEFT writes that a key is not used.
bool is_unset(const json& value) {
  return value.is_null() || (value.is_boolean() && !value.get<bool>()) || (value.is_structured() && value.empty());
}

void check_keys(const json& value, const std::string& subject) {
  for (const auto& [name, item] : value.items()) {
    if (item.is_null()) continue;
    const KnownKey* key = find_key(kPeftKeys, name);
    HICI_CHECK(key != nullptr, subject, ": ", printable(name), " ", shown_json(item),
               " is no key that is known here, and may change the numbers; remove it if it does not, else ",
               kMergeThere);
    HICI_CHECK(key->use != KeyUse::kRefused || is_unset(item), subject, ": ", name, " ", shown_json(item),
               " is not supported (", key->note, "); where PEFT can, ", kMergeThere);
  }
}

bool is_digits(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
}

}  // namespace

bool TargetRule::is_excluded(const std::string& module) const {
  const auto names = [&](const std::string& name) { return config::names_module(name, module); };
  return (excluded_expression_ && excluded_expression_->matches(module)) ||
         std::any_of(excluded_.begin(), excluded_.end(), names) ||
         std::any_of(saved_.begin(), saved_.end(), [&](const Pattern& saved) { return saved.matches(module); });
}

// The first number in a name that has the list of layers before it.
bool TargetRule::is_in_layers(const std::string& module) const {
  if (layers_.empty()) return true;
  for (size_t dot = module.find('.'); dot != std::string::npos; dot = module.find('.', dot + 1)) {
    const size_t end = module.find('.', dot + 1);
    if (end == std::string::npos) return false;
    const std::string number = module.substr(dot + 1, end - dot - 1), list = module.substr(0, dot);
    const bool is_list = layer_lists_.empty()
                             ? list.find('.') != std::string::npos
                             : std::any_of(layer_lists_.begin(), layer_lists_.end(),
                                           [&](const Pattern& pattern) { return pattern.matches(list); });
    if (is_digits(number) && number.size() < 10 && is_list) return layers_.contains(std::stoll(number));
  }
  return false;
}

bool TargetRule::adapts(const std::string& module) const {
  if (is_excluded(module)) return false;
  if (all_linear_) return module != "lm_head" && module != "model.embed_tokens";
  if (expression_) return expression_->matches(module);
  // A whole name is not asked for its layer.
  return std::any_of(names_.begin(), names_.end(), [&](const std::string& name) {
    return name == module || (config::names_module(name, module) && is_in_layers(module));
  });
}

class PeftConfigParser {
 public:
  PeftConfigParser(std::string_view text, const std::string& subject)
      : text_(text), value_(parse_json(text, subject)), object_(value_, subject) {}

  PeftConfig run() {
    check_keys(value_, object_.subject());
    check_kind();
    read_scale();
    read_targets();
    out_.base_model = object_.string_or("base_model_name_or_path", "");
    out_.modules_to_save = names("modules_to_save");
    out_.use_dora = object_.boolean_or("use_dora", false);
    out_.lora_bias = object_.boolean_or("lora_bias", false);
    out_.ties_weights = object_.boolean_or("ensure_weight_tying", false);
    read_token_rows();
    return std::move(out_);
  }

 private:
  void require(bool holds, const char* key, const std::string& text) const {
    HICI_CHECK(holds, object_.subject(), ": ", key, " ", shown_json(object_.at(key)), text);
  }

  void check_kind() {
    require(object_.string_or("peft_type", "LORA") == "LORA", "peft_type", " is not supported; supported: LORA");
    require(object_.string_or("task_type", "CAUSAL_LM") == "CAUSAL_LM", "task_type",
            " is not supported; supported: CAUSAL_LM, for a model that writes text");
    const std::string bias = object_.string_or("bias", "none");
    require(bias == "none" || bias == "all" || bias == "lora_only", "bias",
            " is not supported; supported: none, all, lora_only");
    check_initialisation();
  }

  void check_initialisation() {
    constexpr std::string_view kKey = "init_lora_weights";
    if (!object_.has(std::string(kKey)) || object_.at(std::string(kKey)).is_boolean()) return;
    const std::string kind = object_.string(std::string(kKey));
    for (const std::string_view changing : {"pissa", "olora", "corda", "lora_ga"})
      require(!kind.starts_with(changing), kKey.data(),
              " takes a part out of the base's weights before training, so the factors do not belong to the base as it "
              "is; write them as plain LoRA with PEFT's save_pretrained(path_initial_model_for_weight_conversion=...)");
    require(kind != "loftq", kKey.data(),
            ": the factors belong to a quantized base and not to the base as it is; merge it into that one with PEFT "
            "(merge_and_unload) and give the merged model");
    const bool is_known = kind == "gaussian" || kind == "eva" || kind == "orthogonal" || kind == "mica";
    require(
        is_known, kKey.data(),
        " is not known here, and may change the base's weights; known: true, false, gaussian, eva, orthogonal, mica");
    if (kind == "mica") out_.why_not_trained = "init_lora_weights mica trains A alone";
  }

  void read_scale() {
    const std::string& subject = object_.subject();
    out_.lora.rank = object_.integer("r", 1, config::kMaxLoraRank);
    out_.lora.alpha = checked_alpha("lora_alpha", object_.number("lora_alpha"));
    out_.lora.use_rslora = object_.boolean_or("use_rslora", false);
    if (object_.has("lora_dropout")) out_.lora_dropout = object_.number("lora_dropout");
    // In the order of the file: the first key that matches counts.
    const auto ordered = nlohmann::ordered_json::parse(text_);
    for (const auto& [key, ignored] : entries(ordered, "rank_pattern"))
      out_.lora.rank_pattern.add(key, object_.object("rank_pattern").integer(key, 1, config::kMaxLoraRank),
                                 subject + ": rank_pattern");
    for (const auto& [key, ignored] : entries(ordered, "alpha_pattern"))
      out_.lora.alpha_pattern.add(
          key, checked_alpha(detail::concat("alpha_pattern of ", key), object_.object("alpha_pattern").number(key)),
          subject + ": alpha_pattern");
  }

  nlohmann::ordered_json::object_t entries(const nlohmann::ordered_json& ordered, const char* key) const {
    if (!object_.has(key)) return {};
    const size_t count = object_.object(key).value().size();  // an error where it is no object
    HICI_CHECK(count <= kMaxPatterns, object_.subject(), ": ", key, " has ", count, " keys, expected up to ",
               kMaxPatterns);
    return ordered.at(key).get_ref<const nlohmann::ordered_json::object_t&>();
  }

  double checked_alpha(const std::string& key, double alpha) const {
    HICI_CHECK(alpha >= config::kMinLoraAlpha && alpha <= config::kMaxLoraAlpha, object_.subject(), ": ",
               printable(key), " is ", shortest_number(alpha), ", expected ", shortest_number(config::kMinLoraAlpha),
               " to ", shortest_number(config::kMaxLoraAlpha));
    return alpha;
  }

  // A list, or one text.
  std::vector<std::string> names(const char* key) const {
    if (!object_.has(key)) return {};
    return object_.at(key).is_string() ? std::vector{object_.string(key)} : object_.strings(key);
  }

  std::optional<Pattern> expression(const char* key) const {
    if (!object_.has(key) || !object_.at(key).is_string()) return std::nullopt;
    return Pattern(object_.string(key), object_.subject() + ": " + key);
  }

  void read_targets() {
    TargetRule& rule = out_.targets;
    rule.is_known_ = true;
    // PEFT's table has these two for Llama and for Qwen3.
    rule.is_default_ = !object_.has("target_modules");
    rule.all_linear_ = object_.has("target_modules") && object_.at("target_modules").is_string() &&
                       in_lower_case(object_.string("target_modules")) == "all-linear";
    if (!rule.all_linear_) rule.expression_ = expression("target_modules");
    rule.names_ = rule.is_default_ ? std::vector<std::string>{"q_proj", "v_proj"} : names("target_modules");
    rule.excluded_expression_ = expression("exclude_modules");
    if (!rule.excluded_expression_) rule.excluded_ = names("exclude_modules");
    const std::string& subject = object_.subject();
    for (const std::string& saved : names("modules_to_save"))
      rule.saved_.emplace_back("(.*\\.)?" + saved + "(\\..*)?", subject + ": modules_to_save");
    for (const std::string& list : names("layers_pattern"))
      if (!list.empty()) rule.layer_lists_.emplace_back("(.*\\.)?" + list, subject + ": layers_pattern");
    read_layers();
  }

  void read_layers() {
    const char* key = "layers_to_transform";
    if (!object_.has(key)) return;
    const json& layers = object_.at(key);
    for (const json& layer : layers.is_array() ? layers : json::array({layers})) {
      require(layer.is_number_integer() && layer >= 0 && layer < 1'000'000, key, ", expected numbers of layers");
      out_.targets.layers_.insert(layer.get<int64_t>());
    }
  }

  void read_token_rows() {
    const char* key = "trainable_token_indices";
    if (!object_.has(key)) return;
    const json& value = object_.at(key);
    // A list is of the input embedding.
    const json by_module = value.is_object() ? value : json{{"embed_tokens", value}};
    for (const auto& [module, rows] : by_module.items()) {
      require(rows.is_array(), key, ", expected lists of token ids");
      for (const json& row : rows) {
        require(row.is_number_integer() && row >= 0 && row < config::kMaxCount, key, ", expected lists of token ids");
        out_.token_rows[module].push_back(row.get<int64_t>());
      }
    }
  }

  std::string_view text_;
  json value_;
  JsonObject object_;
  PeftConfig out_;
};

PeftConfig parse_peft_config(std::string_view text, const std::string& subject) {
  return PeftConfigParser(text, subject).run();
}

bool is_saved_whole(const PeftConfig& config, const std::string& parameter) {
  for (size_t dot = parameter.find('.'); dot != std::string::npos; dot = parameter.find('.', dot + 1)) {
    const std::string module = parameter.substr(0, dot);
    for (const std::string& saved : config.modules_to_save)
      if (module.ends_with(saved)) return true;  // PEFT's rule: "norm" is also input_layernorm
  }
  return false;
}

std::span<const KnownKey> peft_config_keys() { return kPeftKeys; }

}  // namespace hici::io
