// SPDX-License-Identifier: Apache-2.0
#include "hici/base/log.h"

#include <gtest/gtest.h>

#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <string>

namespace hici {
namespace {

const std::string kText = "a\x1b]52;c;x\x07\n\u200Fb\n";

// What a process that writes kText leaves on the other side of its stdout; `child` runs before it writes.
template <typename Prepare>
std::string written_by_child(int reading_end, pid_t child, const Prepare& prepare) {
  if (child == 0) {
    prepare();
    write_stdout(kText);
    _exit(0);
  }
  std::string out;
  std::array<char, 256> buffer{};
  for (ssize_t n = 0; (n = ::read(reading_end, buffer.data(), buffer.size())) > 0;)
    out.append(buffer.data(), static_cast<size_t>(n));
  ::waitpid(child, nullptr, 0);
  ::close(reading_end);
  return out;
}

TEST(WriteStdoutTest, ATerminalGetsNoControls) {
  int terminal = -1;
  std::fflush(stdout);
  const pid_t child = ::forkpty(&terminal, nullptr, nullptr, nullptr);
  ASSERT_GE(child, 0);
  EXPECT_EQ(written_by_child(terminal, child, [] {}), "a?]52;c;x?\r\n\u200Fb\r\n");
}

TEST(WriteStdoutTest, APipeGetsTheTextAsItIs) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  std::fflush(stdout);  // the child must not write what waits there again
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child != 0) ::close(ends[1]);  // else there is no end to read to
  const std::string out = written_by_child(ends[0], child, [&] { ::dup2(ends[1], STDOUT_FILENO); });
  EXPECT_EQ(out, kText);
}

}  // namespace
}  // namespace hici
