// SPDX-License-Identifier: Apache-2.0
// Errors of the whole project. One vocabulary:
//   HICI_CHECK(cond, parts...)        bad input or environment        -> hici::Error, exit code 1
//   HICI_CHECK_USAGE(cond, parts...)  bad or contradictory options    -> hici::UsageError, exit code 2
//   HICI_ASSERT(cond, parts...)       a bug of ours                   -> hici::InternalError with expression, file:line
// Parts are streamed. A message is one line: "<subject>: <what is wrong, with the value>; <what is allowed or what to
// do>".
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace hici {

class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

class UsageError : public Error {
 public:
  using Error::Error;
};

class InternalError : public Error {
 public:
  using Error::Error;
};

namespace detail {
template <typename... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

[[noreturn]] void throw_error(const std::string& message);
[[noreturn]] void throw_usage_error(const std::string& message);
[[noreturn]] void throw_internal_error(const char* expression, const char* file, int line, const std::string& message);
}  // namespace detail

// Throws hici::Error with the streamed parts; for paths where there is no condition to state.
template <typename... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  detail::throw_error(detail::concat(parts...));
}

}  // namespace hici

#define HICI_CHECK(cond, ...) \
  do { \
    if (!(cond)) ::hici::detail::throw_error(::hici::detail::concat(__VA_ARGS__)); \
  } while (false)

#define HICI_CHECK_USAGE(cond, ...) \
  do { \
    if (!(cond)) ::hici::detail::throw_usage_error(::hici::detail::concat(__VA_ARGS__)); \
  } while (false)

#define HICI_ASSERT(cond, ...) \
  do { \
    if (!(cond)) ::hici::detail::throw_internal_error(#cond, __FILE__, __LINE__, ::hici::detail::concat(__VA_ARGS__)); \
  } while (false)
