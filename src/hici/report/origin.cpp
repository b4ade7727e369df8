// SPDX-License-Identifier: Apache-2.0
#include "hici/report/origin.h"

#include "hici/base/clean_text.h"

namespace hici::report {

std::string text_at(const JsonObject& object, const std::string& key) { return clean_text(object.string_or(key, "")); }

std::string file_name_of(const std::string& path) {
  const std::string_view whole = std::string_view(path).substr(0, path.find_last_not_of('/') + 1);
  return clean_text(whole.substr(whole.find_last_of('/') + 1));  // npos + 1 is 0
}

std::string window_words(int64_t stride) { return "a window every " + std::to_string(stride) + " tokens"; }

ModelOrigin origin_of(const JsonObject& object, const std::filesystem::path& file,
                      const std::vector<std::string>& method_keys) {
  ModelOrigin origin{.file = clean_text(file.string())};
  for (const char* key : {"weights_hash", "weights_sha256"}) {  // the second in files of older versions
    if (!origin.weights.empty()) break;
    origin.weights = text_at(object, key);
    origin.weights_key = key;
  }
  const std::string adapter = text_at(object, "peft_model");
  const std::string model = adapter.empty() ? text_at(object, "base_model") : adapter;
  if (model == text_at(object, "label")) origin.path = model;
  for (const std::string& key : method_keys) {
    if (!object.has(key)) continue;
    const nlohmann::json& value = object.at(key);
    origin.method[key] = value.is_string() ? text_at(object, key) : clean_text(shown_json(value));
  }
  return origin;
}

void add_differences(const JsonObject& object, std::vector<std::string>& settings) {
  if (object.has("other_base")) settings.emplace_back("on another base than the adapter was trained on");
  if (object.has("other_tokenizer")) settings.emplace_back("with another tokenizer than the adapter was trained with");
}

Conditions conditions_on_data(const JsonObject& object) {
  Conditions conditions{.data = file_name_of(object.string_or("data_path", "")),
                        .data_sha256 = text_at(object, "data_sha256")};
  if (conditions.data_sha256.empty()) {
    conditions.unstated = {conditions.data.empty() ? "the data" : "what the data hold"};
  } else if (conditions.data.empty()) {
    conditions.data = "data " + short_hash(conditions.data_sha256);
  }
  return conditions;
}

}  // namespace hici::report
