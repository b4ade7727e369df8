// SPDX-License-Identifier: Apache-2.0
#include "hici/base/signals.h"

#include "hici/base/error.h"

#include <gtest/gtest.h>

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>

namespace hici {
namespace {

TEST(SignalsTest, TheFirstSignalIsKeptAndTheProcessGoesOn) {
  for (const int signal : {SIGTERM, SIGUSR1, SIGINT, SIGHUP, SIGPIPE}) {
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

// nohup ignores SIGHUP before the program starts.
TEST(SignalsTest, AHangUpThatIsIgnoredStaysIgnored) {
  const auto former = std::signal(SIGHUP, SIG_IGN);
  {
    const StopSignals signals;
    raise(SIGHUP);
    EXPECT_EQ(stop_requested(), 0);
    raise(SIGTERM);
    EXPECT_EQ(stop_requested(), SIGTERM);
  }
  std::signal(SIGHUP, former);
}

TEST(SignalsTest, CheckStopThrowsWithTheExitCode) {
  const StopSignals signals;
  EXPECT_NO_THROW(check_stop("; nothing"));
  raise(SIGTERM);
  try {
    check_stop(" after ", 3, " windows");
    FAIL();
  } catch (const Stopped& e) {
    EXPECT_STREQ(e.what(), "stopped by signal 15 after 3 windows");
    EXPECT_EQ(e.exit_code(), 143);
  }
}

// The process writes "done" into the pipe before its signal has its effect.
TEST(SignalsTest, APostponedSignalHasItsEffectAfterwards) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe(ends.data()), 0);
  const pid_t child = fork();
  if (child == 0) {
    {
      const PostponedSignals later;
      raise(SIGTERM);
      static_cast<void>(!write(ends[1], "done", 4));
    }
    _exit(2);
  }
  close(ends[1]);
  std::array<char, 8> text{};
  EXPECT_EQ(read(ends[0], text.data(), text.size()), 4);
  close(ends[0]);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM) << status;
}

TEST(SignalsTest, PostponingLeavesTheFlagToWhoLooksAtIt) {
  const StopSignals signals;
  {
    const PostponedSignals later;
    raise(SIGTERM);
  }
  EXPECT_EQ(stop_requested(), SIGTERM);
}

TEST(SignalsTest, InstallingTwiceIsABug) {
  const StopSignals signals;
  EXPECT_THROW(StopSignals(), InternalError);
}

}  // namespace
}  // namespace hici
