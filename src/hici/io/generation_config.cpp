// SPDX-License-Identifier: Apache-2.0
#include "hici/io/generation_config.h"

#include "hici/base/error.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"

namespace hici::io {

std::vector<int64_t> read_stop_ids(const std::filesystem::path& dir, const config::ModelConfig& config) {
  const std::filesystem::path path = dir / "generation_config.json";
  if (!is_there(path)) return config.eos_token_id;
  const nlohmann::json json = read_companion_json(path);
  const JsonObject object(json, path.string());
  if (!object.has("eos_token_id")) return config.eos_token_id;
  const nlohmann::json& value = object.at("eos_token_id");
  std::vector<int64_t> ids;
  for (const nlohmann::json& id : value.is_array() ? value : nlohmann::json::array({value})) {
    HICI_CHECK(id.is_number_integer() && id >= 0 && id < config.vocab_size, path.string(), ": eos_token_id ",
               shown_json(id), " is no id of the vocabulary of ", config.vocab_size);
    ids.push_back(id.get<int64_t>());
  }
  return ids;
}

}  // namespace hici::io
