// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>

namespace hici::config {

// A usage error unless `value` of option `name` is positive and divides `whole` of option `whole_name`.
void check_divides(std::string_view name, int64_t value, std::string_view whole_name, int64_t whole,
                   std::string_view way_out = "use a divisor of it");

}  // namespace hici::config
