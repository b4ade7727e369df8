// SPDX-License-Identifier: Apache-2.0
// Whether a text holds another.
#pragma once

#include <string>

namespace hici::testing {

inline bool has_part(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace hici::testing
