// SPDX-License-Identifier: Apache-2.0
#include "hici/base/signals.h"

#include "hici/base/error.h"

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace hici {
namespace {

TEST(SignalsTest, TheFirstSignalIsKeptAndTheProcessGoesOn) {
  for (const int signal : {SIGTERM, SIGUSR1, SIGINT}) {
    const StopSignals signals;
    EXPECT_EQ(stop_requested(), 0);
    raise(signal);
    EXPECT_EQ(stop_requested(), signal);
    raise(SIGUSR1);
    EXPECT_EQ(stop_requested(), signal);
  }
}

TEST(SignalsTest, TheFormerHandlersComeBack) {
  struct sigaction before{};
  struct sigaction after{};
  sigaction(SIGTERM, nullptr, &before);
  {
    const StopSignals signals;
  }
  sigaction(SIGTERM, nullptr, &after);
  EXPECT_EQ(before.sa_handler, after.sa_handler);
}

TEST(SignalsTest, ASecondInterruptEndsTheProcess) {
  const pid_t child = fork();
  if (child == 0) {
    const StopSignals signals;
    raise(SIGINT);
    if (stop_requested() != SIGINT) _exit(1);
    raise(SIGINT);
    _exit(2);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGINT);
}

TEST(SignalsTest, InstallingTwiceIsABug) {
  const StopSignals signals;
  EXPECT_THROW(StopSignals(), InternalError);
}

}  // namespace
}  // namespace hici
