// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace hici::report {

// Text of unknown origin for a page or a terminal: no control characters and none of direction, valid UTF-8.
std::string clean_text(std::string_view text);

}  // namespace hici::report
