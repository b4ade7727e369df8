// SPDX-License-Identifier: Apache-2.0
#include "hici/text/tokenizer_config.h"

#include "hici/base/error.h"
#include "hici/base/is_there.h"

#include <algorithm>
#include <array>
#include <map>

namespace hici::text {
namespace {

using nlohmann::json;

constexpr size_t kMaxConfigBytes = size_t{16} << 20;
constexpr size_t kMaxTokens = 500'000;  // as many as a tokenizer.json may add
constexpr const char* kSaveAgain =
    "load it with transformers' AutoTokenizer, call save_pretrained and give what that writes";
constexpr std::string_view kOfBatches = "of a model's input in batches, not of text";
constexpr std::string_view kOfSlowOnes = "of tokenizers without a tokenizer.json";

// What tokenizers of Llama and Qwen have in transformers 4.31 to 5.24.
constexpr std::array kKeys{
    KnownKey{"add_bos_token", KeyUse::kRead,
             "as in transformers 5, tokenizer.json decides; a line where 4 took this key"},
    KnownKey{"add_eos_token", KeyUse::kRead, "the same"},
    KnownKey{"add_prefix_space", KeyUse::kRead, "refused where transformers builds another tokenizer from it"},
    KnownKey{"added_tokens_decoder", KeyUse::kRead, "its tokens are added, with its flags"},
    KnownKey{"additional_special_tokens", KeyUse::kRead, "added where tokenizer.json lacks them"},
    KnownKey{"auto_map", KeyUse::kNeutral, "code beside the model is not run, and a line says so"},
    KnownKey{"backend"},
    KnownKey{"bos_token", KeyUse::kRead,
             "this and other X_token: added where tokenizer.json lacks them; for chat templates"},
    KnownKey{"chat_control_tokens"},
    KnownKey{"chat_template", KeyUse::kRead},
    KnownKey{"clean_up_tokenization_spaces", KeyUse::kNeutral, "not done, as in transformers 5"},
    KnownKey{"cls_token", KeyUse::kRead},
    KnownKey{"device_map"},
    KnownKey{"do_lower_case", KeyUse::kNeutral, kOfSlowOnes},
    KnownKey{"dropout", KeyUse::kNeutral, "not read by transformers"},
    KnownKey{"eos_token", KeyUse::kRead},
    KnownKey{"errors", KeyUse::kNeutral, kOfSlowOnes},
    KnownKey{"extra_special_tokens", KeyUse::kRead, "added where tokenizer.json lacks them"},
    KnownKey{"files_loaded"},
    KnownKey{"from_slow", KeyUse::kNeutral, kOfSlowOnes},
    KnownKey{"init_inputs"},
    KnownKey{"is_local"},
    KnownKey{"legacy", KeyUse::kRead,
             "tokenizer.json says where spaces are put; a line where transformers 5 takes this key"},
    KnownKey{"local_files_only"},
    KnownKey{"mask_token", KeyUse::kRead},
    KnownKey{"max_length", KeyUse::kNeutral, kOfBatches},
    KnownKey{"merges_file"},
    KnownKey{"model_input_names"},
    KnownKey{"model_max_length", KeyUse::kNeutral, "transformers only warns of longer texts"},
    KnownKey{"model_specific_special_tokens", KeyUse::kRead, "added where tokenizer.json lacks them"},
    KnownKey{"name_or_path"},
    KnownKey{"pad_to_multiple_of", KeyUse::kNeutral, kOfBatches},
    KnownKey{"pad_token", KeyUse::kRead},
    KnownKey{"pad_token_type_id", KeyUse::kNeutral, kOfBatches},
    KnownKey{"padding", KeyUse::kNeutral, kOfBatches},
    KnownKey{"padding_side", KeyUse::kNeutral, kOfBatches},
    KnownKey{"processor_class"},
    KnownKey{"response_schema"},
    KnownKey{"response_template"},
    KnownKey{"return_token_type_ids"},
    KnownKey{"revision"},
    KnownKey{"sep_token", KeyUse::kRead},
    KnownKey{"sp_model_kwargs", KeyUse::kNeutral, kOfSlowOnes},
    KnownKey{"spaces_between_special_tokens", KeyUse::kNeutral, kOfSlowOnes},
    KnownKey{"special_tokens_map_file"},
    KnownKey{"split_special_tokens", KeyUse::kRefused, "special tokens in a text as ordinary ones"},
    KnownKey{"stride", KeyUse::kNeutral, kOfBatches},
    KnownKey{"tokenizer_class", KeyUse::kRead, "decides what add_prefix_space means"},
    KnownKey{"tokenizer_file"},
    KnownKey{"transformers_version"},
    KnownKey{"truncation", KeyUse::kNeutral, kOfBatches},
    KnownKey{"truncation_side", KeyUse::kNeutral, kOfBatches},
    KnownKey{"truncation_strategy", KeyUse::kNeutral, kOfBatches},
    KnownKey{"trust_remote_code"},
    KnownKey{"unk_token", KeyUse::kRead},
    KnownKey{"use_default_system_prompt", KeyUse::kNeutral, "of templates that transformers no longer has"},
    KnownKey{"use_fast"},
    KnownKey{"verbose"},
    KnownKey{"vocab_file"},
};
// The names of special tokens that every tokenizer has; other ones are a model's own.
constexpr std::array kCommonTokens{"bos_token", "eos_token", "unk_token", "sep_token",
                                   "pad_token", "cls_token", "mask_token"};

bool ends_with(std::string_view text, std::string_view end) {
  return text.size() > end.size() && text.substr(text.size() - end.size()) == end;
}

// A token is written as text, or as an object that holds it under "content".
std::optional<std::string> text_of(const json& value) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value.at("content").is_string())
    return value.at("content").get<std::string>();
  return std::nullopt;
}

// As AddedToken of the library tokenizers fills in what is not said.
json added_token(const json& value, bool is_special, const std::string& subject) {
  const std::optional<std::string> content = text_of(value);
  HICI_CHECK(content, subject, ": ", shown_json(value), " is no token; expected text, or an object with \"content\"");
  const json fields = value.is_object() ? value : json::object();
  const JsonObject object(fields, subject);
  const bool special = object.boolean_or("special", false) || is_special;
  return {{"content", *content},
          {"single_word", object.boolean_or("single_word", false)},
          {"lstrip", object.boolean_or("lstrip", false)},
          {"rstrip", object.boolean_or("rstrip", false)},
          {"normalized", object.boolean_or("normalized", !special)},
          {"special", special}};
}

int64_t parse_id(const std::string& text, const std::string& subject) {
  const bool is_number = !text.empty() && text.size() <= 9 && text.find_first_not_of("0123456789") == std::string::npos;
  HICI_CHECK(is_number, subject, ": '", printable(text), "' is no id of a token");
  return std::stoll(text);
}

// The files of one folder, read in transformers' order.
class ConfigReader {
 public:
  explicit ConfigReader(const std::filesystem::path& folder)
      : folder_(folder), value_(read_json_if_there(folder / "tokenizer_config.json")) {
    config_.subject = (folder / "tokenizer_config.json").string();
    config_.special_tokens = NamedSpecialTokens::object();
  }

  TokenizerConfig read() {
    const JsonObject own(value_, config_.subject);
    check_keys(own);
    config_.tokenizer_class = own.string_or("tokenizer_class", "");
    config_.is_legacy = own.boolean_or("legacy", false);
    if (own.has("add_bos_token")) config_.adds_bos = own.boolean_or("add_bos_token", false);
    if (own.has("add_eos_token")) config_.adds_eos = own.boolean_or("add_eos_token", false);
    if (own.has("added_tokens_decoder"))
      read_decoder(own.object("added_tokens_decoder"));
    else
      read_older_files();
    read_special_tokens();
    HICI_CHECK(config_.added_tokens.size() + config_.named_tokens.size() <= kMaxTokens, config_.subject, ": adds ",
               config_.added_tokens.size() + config_.named_tokens.size(), " tokens, more than ", kMaxTokens);
    return std::move(config_);
  }

 private:
  void check_keys(const JsonObject& own) {
    HICI_CHECK(
        !own.boolean_or("split_special_tokens", false), own.subject(),
        ": split_special_tokens true is not supported: special tokens in a text are taken as such; remove the key");
    check_prefix_space(own);
    if (own.has("auto_map"))
      config_.notes.push_back(own.subject() +
                              ": auto_map names code of the model's own, which is not run; ids are those of "
                              "tokenizer.json");
    json others = own.value();
    for (const auto& [name, value] : own.value().items())
      if (ends_with(name, "_token") && text_of(value)) others.erase(name);
    if (const std::string unknown = note_of_unknown_keys(JsonObject(others, own.subject()), kKeys); !unknown.empty())
      config_.notes.push_back(own.subject() + ": " + unknown);
  }

  // The classes of Llama and Qwen2 build a tokenizer of their own from it, other ones do not look at it.
  void check_prefix_space(const JsonObject& own) const {
    const std::string name = own.string_or("tokenizer_class", "");
    const bool is_llama = name.starts_with("LlamaTokenizer") || name.starts_with("CodeLlamaTokenizer");
    if (!own.has("add_prefix_space") || (!is_llama && !name.starts_with("Qwen2Tokenizer"))) return;
    const bool adds_space = own.boolean_or("add_prefix_space", is_llama);
    HICI_CHECK(adds_space == is_llama, own.subject(), ": add_prefix_space ", adds_space ? "true" : "false", " with ",
               printable(name), " makes transformers build another tokenizer than tokenizer.json's; ", kSaveAgain);
  }

  void read_decoder(const JsonObject& decoder) {
    std::map<int64_t, json> by_id;
    for (const auto& [id, token] : decoder.value().items())
      by_id[parse_id(id, decoder.subject())] = added_token(token, false, decoder.subject());
    for (auto& [id, token] : by_id) config_.added_tokens.push_back(std::move(token));
  }

  void read_older_files() {
    const json map = read_json_if_there(folder_ / "special_tokens_map.json");
    for (const auto& [name, value] : map.items())
      if (!value.is_null()) value_[name] = value;
    const std::filesystem::path file = folder_ / "added_tokens.json";
    const json added = read_json_if_there(file);
    std::map<int64_t, json> by_id;
    for (const auto& [text, id] : added.items()) {
      HICI_CHECK(id.is_number_unsigned(), file.string(), ": '", printable(text), "' has ", shown_json(id),
                 ", which is no id");
      by_id[id.get<int64_t>()] = added_token(text, is_named(text), file.string());
    }
    for (auto& [id, token] : by_id) config_.added_tokens.push_back(std::move(token));
  }

  bool is_named(const std::string& token) const {
    const auto says = [&](const char* name) { return value_.contains(name) && text_of(value_.at(name)) == token; };
    if (std::any_of(kCommonTokens.begin(), kCommonTokens.end(), says)) return true;
    for (const json& value : extra_tokens())
      if (text_of(value) == token) return true;
    return false;
  }

  // extra_special_tokens (a list, or a token by name), else its older name.
  json extra_tokens() const {
    json tokens = json::array();
    for (const char* name : {"extra_special_tokens", "additional_special_tokens"}) {
      if (!value_.contains(name) || value_.at(name).empty()) continue;
      const json& list = value_.at(name);
      HICI_CHECK(list.is_structured(), config_.subject, ": ", name, " is ", shown_json(list),
                 ", expected a list of tokens");
      for (const json& token : list) tokens.push_back(token);
      return tokens;
    }
    return tokens;
  }

  void read_special_tokens() {
    for (const auto& [name, value] : value_.items()) {
      const bool is_common = std::find(kCommonTokens.begin(), kCommonTokens.end(), name) != kCommonTokens.end();
      if (value.is_null() || !ends_with(name, "_token") || (!is_common && !text_of(value))) continue;
      config_.named_tokens.push_back(added_token(value, true, config_.subject + ": " + printable(name)));
      config_.special_tokens[name] = config_.named_tokens.back().at("content");
    }
    if (value_.contains("model_specific_special_tokens") && value_.at("model_specific_special_tokens").is_object())
      for (const auto& [name, value] : value_.at("model_specific_special_tokens").items())
        config_.named_tokens.push_back(added_token(value, true, config_.subject + ": " + printable(name)));
    for (const json& token : extra_tokens())
      config_.named_tokens.push_back(added_token(token, true, config_.subject + ": extra_special_tokens"));
  }

  std::filesystem::path folder_;
  json value_;
  TokenizerConfig config_;
};

}  // namespace

std::optional<std::string> TokenizerConfig::special_token(const std::string& name) const {
  const auto found = special_tokens.find(name);
  if (found == special_tokens.end()) return std::nullopt;
  return found->get<std::string>();
}

json read_json_if_there(const std::filesystem::path& file) {
  return is_there(file) ? read_companion_json(file, kMaxConfigBytes) : json::object();
}

TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder) { return ConfigReader(folder).read(); }

std::span<const KnownKey> tokenizer_config_keys() { return kKeys; }

}  // namespace hici::text
