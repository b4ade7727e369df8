// SPDX-License-Identifier: Apache-2.0
#include "hici/base/enum_names.h"

#include "hici/base/field_text.h"
#include "hici/base/json.h"

#include <string>

namespace hici::detail {

void fail_unknown_name(std::string_view subject, const char* what, std::string_view text,
                       const std::vector<const char*>& names) {
  std::string list;
  for (size_t i = 0; i < names.size(); ++i)
    list += (i == 0 ? "" : i + 1 < names.size() ? ", " : " or ") + std::string(names[i]);
  const std::string message = concat(subject, ": unknown ", what, " '", printable(text), "'; use ", list);
  is_field_or_option(subject) ? throw_usage_error(message) : throw_error(message);
}

}  // namespace hici::detail
