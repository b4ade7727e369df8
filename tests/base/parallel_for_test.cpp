// SPDX-License-Identifier: Apache-2.0
#include "hici/base/parallel_for.h"

#include "hici/base/error.h"
#include "support/error_message.h"

#include <gtest/gtest.h>

#include <atomic>
#include <set>
#include <thread>
#include <vector>

namespace hici {
namespace {

TEST(ParallelForTest, DoesEveryPieceOnce) {
  for (const size_t threads : {0, 1, 3, 50}) {
    std::vector<int> done(37, 0);
    parallel_for(done.size(), [&](size_t i) { ++done[i]; }, threads);
    EXPECT_EQ(done, std::vector<int>(37, 1)) << threads;
  }
  parallel_for(0, [](size_t) { FAIL(); });
}

TEST(ParallelForTest, PassesTheFirstErrorOnAndBeginsNothingAfterIt) {
  std::atomic<int> begun = 0;
  const auto work = [&](size_t i) {
    ++begun;
    HICI_CHECK(i != 3, "piece 3: is bad");
  };
  EXPECT_ERROR_SAYS(parallel_for(1000, work, 1), "piece 3: is bad");
  EXPECT_EQ(begun, 4);
  EXPECT_ERROR_SAYS(parallel_for(1000, work, 4), "piece 3: is bad");
}

TEST(ParallelForTest, UsesSeveralThreads) {
  std::atomic<int> inside = 0;
  // Each waits for the other: with one thread alone this would not end.
  parallel_for(
      2,
      [&](size_t) {
        ++inside;
        while (inside < 2) std::this_thread::yield();
      },
      2);
  EXPECT_EQ(inside, 2);
}

}  // namespace
}  // namespace hici
