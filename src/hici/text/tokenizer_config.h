// SPDX-License-Identifier: Apache-2.0
// What the files beside a tokenizer.json say of it, as transformers 5 reads them: tokenizer_config.json, and where that
// has no added_tokens_decoder also special_tokens_map.json, whose tokens go before its own, and added_tokens.json. None
// has to be there.
#pragma once

#include "hici/base/known_keys.h"
#include "hici/text/chat_template.h"

#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace hici::text {

struct TokenizerConfig {
  std::string subject;                // tokenizer_config.json
  NamedSpecialTokens special_tokens;  // by name, such as bos_token: texts; what chat templates see
  std::string tokenizer_class;        // empty: not said

  // Tokens that transformers puts into the tokenizer, in its order; each an object of content and five flags. Those of
  // `added_tokens` replace the flags of tokenizer.json, those of `named_tokens` are added where it has no such added
  // token.
  nlohmann::json added_tokens = nlohmann::json::array();
  nlohmann::json named_tokens = nlohmann::json::array();

  std::optional<bool> adds_bos, adds_eos;  // add_bos_token and add_eos_token
  bool is_legacy = false;                  // of Llama's class in transformers 5: a space after every special token
  std::vector<std::string> notes;          // what a user should know of the files

  // Text of "bos_token" and the like.
  std::optional<std::string> special_token(const std::string& name) const;
};

// Throws for what is no such file, and by name for settings that change ids and are not done (split_special_tokens, an
// add_prefix_space with which transformers builds another tokenizer than tokenizer.json's).
TokenizerConfig read_tokenizer_config(const std::filesystem::path& folder);

std::span<const KnownKey> tokenizer_config_keys();

// A file beside a tokenizer; an empty object where there is none.
nlohmann::json read_json_if_there(const std::filesystem::path& file);

}  // namespace hici::text
