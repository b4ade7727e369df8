// SPDX-License-Identifier: Apache-2.0
#include "hici/text/tokenizer_files.h"

#include "hici/base/error.h"
#include "hici/base/hub_id.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/base/nearby.h"

#include <nlohmann/json.hpp>

namespace hici::text {
namespace {

constexpr size_t kMaxConfigBytes = size_t{16} << 20;

// A token is written as text, or as an object that holds it under "content".
std::optional<std::string> token_text(const JsonObject& json, const std::string& key) {
  if (!json.has(key)) return std::nullopt;
  if (json.at(key).is_object()) return json.object(key).string("content");
  return json.string(key);
}

void fill_named_tokens(const std::filesystem::path& file, NamedTokens& named) {
  if (!is_there(file)) return;
  const nlohmann::json value = read_companion_json(file, kMaxConfigBytes);
  const JsonObject json(value, file.string());
  if (!named.bos) named.bos = token_text(json, "bos_token");
  if (!named.eos) named.eos = token_text(json, "eos_token");
}

}  // namespace

std::filesystem::path find_tokenizer_json(const std::filesystem::path& folder_or_file) {
  HICI_CHECK(std::filesystem::exists(folder_or_file), folder_or_file.string(),
             ": no such file or folder; give a model directory or a tokenizer.json",
             hub_hint(folder_or_file, HubKind::kModel));
  if (!std::filesystem::is_directory(folder_or_file)) return folder_or_file;
  const std::filesystem::path file = folder_or_file / "tokenizer.json";
  const bool has_model = std::filesystem::exists(folder_or_file / "tokenizer.model");
  HICI_CHECK(is_there(file), folder_or_file.string(), ": has no tokenizer.json",
             has_model
                 ? "; its tokenizer.model must be converted first: load it with transformers' AutoTokenizer and call "
                   "save_pretrained"
                 : "; give a directory that has one",
             found_nearby(folder_or_file, [](const auto& inner) { return is_there(inner / "tokenizer.json"); }));
  return file;
}

NamedTokens read_named_tokens(const std::filesystem::path& folder) {
  NamedTokens named;
  fill_named_tokens(folder / "tokenizer_config.json", named);
  fill_named_tokens(folder / "special_tokens_map.json", named);
  return named;
}

std::string tokenizer_config_json(const NamedTokens& named, const std::optional<std::string>& pad) {
  nlohmann::ordered_json json;
  json["tokenizer_class"] = "PreTrainedTokenizerFast";
  if (named.bos) json["bos_token"] = *named.bos;
  if (named.eos) json["eos_token"] = *named.eos;
  if (pad) json["pad_token"] = *pad;
  // Cleaning up spaces before punctuation would change the text that was encoded.
  json["clean_up_tokenization_spaces"] = false;
  json["model_max_length"] = 1000000000000000019884624838656.0;  // transformers' own "no limit"
  return json.dump(2) + "\n";
}

}  // namespace hici::text
