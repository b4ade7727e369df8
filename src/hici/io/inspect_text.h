// SPDX-License-Identifier: Apache-2.0
// The report of inspect_path() as lines for people.
#pragma once

#include <nlohmann/json.hpp>

#include <string>

namespace hici::io {

std::string inspection_text(const nlohmann::json& inspection);

}  // namespace hici::io
