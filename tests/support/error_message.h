// SPDX-License-Identifier: Apache-2.0
// What a call that must fail says: EXPECT_EQ(error_message([&] { ... }), "subject: ...").
#pragma once

#include "hici/base/error.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace hici::testing {

// The text of the hici::Error that `call` throws; other exceptions pass through and fail the test.
inline std::string error_message(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

// A message is one line of printable ASCII: whatever a hostile file holds must not reach the terminal as it is.
inline ::testing::AssertionResult is_one_clean_line(const std::string& message) {
  for (const char c : message) {
    if (c < ' ' || c > '~')
      return ::testing::AssertionFailure() << "byte " << static_cast<int>(c) << " in: " << message;
  }
  return ::testing::AssertionSuccess();
}

}  // namespace hici::testing

// The error of `call` holds `part` and is one clean line.
#define EXPECT_ERROR_SAYS(call, part) \
  do { \
    const std::string expect_error_text = ::hici::testing::error_message([&] { call; }); \
    EXPECT_NE(expect_error_text.find(part), std::string::npos) << expect_error_text; \
    EXPECT_TRUE(::hici::testing::is_one_clean_line(expect_error_text)); \
  } while (false)
