// SPDX-License-Identifier: Apache-2.0
// The result of inspect_path() as readable text of several lines.
#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace hici::io {

std::string inspection_text(const nlohmann::json& inspection);

}  // namespace hici::io
