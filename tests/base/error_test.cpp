// SPDX-License-Identifier: Apache-2.0
#include "hici/base/error.h"

#include <gtest/gtest.h>

#include <functional>
#include <string>

namespace hici {
namespace {

std::string message_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "nothing was thrown";
}

TEST(ErrorTest, CheckStreamsItsParts) {
  EXPECT_EQ(message_of([] { HICI_CHECK(1 > 2, "--num_chunks: ", 5, " does not divide ", 8192); }),
            "--num_chunks: 5 does not divide 8192");
}

TEST(ErrorTest, UsageErrorIsAnErrorOfItsOwnType) {
  EXPECT_THROW(HICI_CHECK_USAGE(false, "x"), UsageError);
  EXPECT_THROW(HICI_CHECK_USAGE(false, "x"), Error);
}

TEST(ErrorTest, AssertNamesExpressionAndPlace) {
  const std::string message = message_of([] { HICI_ASSERT(2 + 2 == 5, "sum"); });
  EXPECT_NE(message.find("2 + 2 == 5"), std::string::npos);
  EXPECT_NE(message.find("error_test.cpp"), std::string::npos);
  EXPECT_NE(message.find("this is a bug"), std::string::npos);
}

}  // namespace
}  // namespace hici
