// SPDX-License-Identifier: Apache-2.0
#include "hici/text/tokenizer_files.h"

#include "hici/base/error.h"
#include "hici/base/hub_id.h"
#include "hici/base/is_there.h"
#include "hici/base/nearby.h"

#include <nlohmann/json.hpp>

namespace hici::text {
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
