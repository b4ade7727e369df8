// SPDX-License-Identifier: Apache-2.0
#include "hici/base/progress.h"

#include <gtest/gtest.h>

namespace hici {
namespace {

TEST(ProgressTest, LineTellsShareRateAndTimeLeft) {
  EXPECT_EQ(Progress::text("windows", 25, 100, 5, ProgressUnit::kItems), "windows: 25 of 100 (25%), 5/s, 15s left");
  EXPECT_EQ(Progress::text("tokenizing", 2000000, 0, 1, ProgressUnit::kBytes), "tokenizing: 1.91 MiB, 1.91 MiB/s");
  EXPECT_EQ(Progress::text("windows", 0, 100, 0, ProgressUnit::kItems), "windows: 0 of 100 (0%)");
}

}  // namespace
}  // namespace hici
