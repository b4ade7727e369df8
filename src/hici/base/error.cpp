// SPDX-License-Identifier: Apache-2.0
#include "hici/base/error.h"

#include <algorithm>

namespace hici::detail {

namespace {

// what() is a C string: behind a NUL (of a path in a foreign file) the message would be lost.
std::string without_nul(std::string message) {
  std::replace(message.begin(), message.end(), '\0', '?');
  return message;
}

}  // namespace

void throw_error(const std::string& message) { throw Error(without_nul(message)); }

void throw_usage_error(const std::string& message) { throw UsageError(without_nul(message)); }

void throw_internal_error(const char* expression, const char* file, int line, const std::string& message) {
  throw InternalError(without_nul(
      concat("internal error: ", expression, " is false at ", file, ":", line, ": ", message, "; this is a bug")));
}

}  // namespace hici::detail
