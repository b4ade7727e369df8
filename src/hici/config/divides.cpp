// SPDX-License-Identifier: Apache-2.0
#include "hici/config/divides.h"

#include "hici/base/error.h"

namespace hici::config {

void check_divides(std::string_view name, int64_t value, std::string_view whole_name, int64_t whole,
                   std::string_view way_out) {
  HICI_CHECK_USAGE(value >= 1 && whole % value == 0, name, ": ", value, " does not divide ", whole_name, " ", whole,
                   "; ", way_out);
}

}  // namespace hici::config
