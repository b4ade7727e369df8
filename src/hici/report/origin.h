// SPDX-License-Identifier: Apache-2.0
// The model and the data that a result of `hici eval` names. Keys that are not there are no error: other versions wrote
// fewer.
#pragma once

#include "hici/base/json.h"
#include "hici/report/report_data.h"

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace hici::report {

// Text under a key, clean; empty when it is not there.
std::string text_at(const JsonObject& object, const std::string& key);

// `method_keys`: settings of the model that decide the numbers.
ModelOrigin origin_of(const JsonObject& object, const std::filesystem::path& file,
                      const std::vector<std::string>& method_keys);

// "on another base than the adapter was trained on", and the same of the tokenizer, as settings have it: a table that
// holds such a number says so.
void add_differences(const JsonObject& object, std::vector<std::string>& settings);

// `data_path` and `data_sha256` of a result over a token file.
Conditions conditions_on_data(const JsonObject& object);

// "a window every 256 tokens", as settings have it.
std::string window_words(int64_t stride);

// The last part of a path, clean: what data are called.
std::string file_name_of(const std::string& path);

}  // namespace hici::report
