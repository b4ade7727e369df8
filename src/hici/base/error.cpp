// SPDX-License-Identifier: Apache-2.0
#include "hici/base/error.h"

namespace hici::detail {

void throw_error(const std::string& message) { throw Error(message); }

void throw_usage_error(const std::string& message) { throw UsageError(message); }

void throw_internal_error(const char* expression, const char* file, int line, const std::string& message) {
  throw InternalError(
      concat("internal error: ", expression, " is false at ", file, ":", line, ": ", message, "; this is a bug"));
}

}  // namespace hici::detail
