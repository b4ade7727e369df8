// SPDX-License-Identifier: Apache-2.0
// Files with one JSON object on each line (metrics.jsonl).
#pragma once

#include <nlohmann/json.hpp>

#include <filesystem>
#include <string>
#include <vector>

namespace hici {

struct JsonLine {
  std::string text;  // as it stands in the file, without its end
  nlohmann::json value;
};

// All objects of the file in order; none when the file is not there. A last line without its end is what a killed
// process leaves and is left out in silence; any other line that is no JSON object is left out with a warning.
std::vector<JsonLine> read_json_lines(const std::filesystem::path& path);

}  // namespace hici
