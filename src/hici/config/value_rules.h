// SPDX-License-Identifier: Apache-2.0
// Rules of settings that come from options or from a file.
#pragma once

#include "hici/base/error.h"
#include "hici/base/field_text.h"
#include "hici/config/divides.h"

#include <cstdint>
#include <string>

namespace hici::config {

// Messages about one value, for options ("`num_heads`: ...") and for files ("hici_config.json: num_heads: ...").
class Rules {
 public:
  explicit Rules(const std::string& subject) : subject_(subject) {}

  std::string name(const char* key) const { return subject_.empty() ? field_text(key) : key; }

  template <typename... Parts>
  void check(bool holds, const char* key, const Parts&... parts) const {
    if (holds) return;
    if (subject_.empty()) detail::throw_usage_error(detail::concat(field_text(key), ": ", parts...));
    fail(subject_, ": ", key, ": ", parts...);
  }

  void in_range(const char* key, int64_t value, int64_t high) const {
    check(value >= 1 && value <= high, key, value, " is out of range; use 1 to ", high);
  }

  void divides(const char* key, int64_t value, const std::string& whole_name, int64_t whole) const {
    const std::string reason = why_not_a_divisor(value, whole_name, whole);
    check(reason.empty(), key, reason);
  }

 private:
  const std::string& subject_;
};

}  // namespace hici::config
