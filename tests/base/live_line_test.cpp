// SPDX-License-Identifier: Apache-2.0
#include "hici/base/live_line.h"

#include <gtest/gtest.h>

#include <cstdio>
#include <memory>
#include <string>

namespace hici {
namespace {

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using TemporaryFile = std::unique_ptr<std::FILE, FileCloser>;

std::string contents(std::FILE* file) {
  std::fflush(file);
  std::rewind(file);
  std::string text(4096, '\0');
  text.resize(std::fread(text.data(), 1, text.size(), file));
  return text;
}

TEST(LiveLineTest, RewritesTheLineAndMovesItBelowAWholeLine) {
  const TemporaryFile file(std::tmpfile());
  LiveLine live(file.get(), /*rewrites=*/true);
  live.show("step 1");
  live.write_line("note");
  live.show("step 2");
  live.finish();
  live.finish();
  EXPECT_EQ(contents(file.get()), "\r\x1b[Kstep 1\r\x1b[Knote\n\r\x1b[Kstep 1\r\x1b[Kstep 2\n");
}

TEST(LiveLineTest, ErasedLineLeavesNothingToFinish) {
  const TemporaryFile file(std::tmpfile());
  LiveLine live(file.get(), true);
  live.show("a");
  live.erase();
  live.finish();
  EXPECT_EQ(contents(file.get()), "\r\x1b[Ka\r\x1b[K");
}

TEST(LiveLineTest, WritesOnlyWholeLinesWhenTheStreamIsNoTerminal) {
  const TemporaryFile file(std::tmpfile());
  LiveLine live(file.get(), false);
  live.show("step 1");
  live.write_line("note");
  live.finish();
  EXPECT_EQ(contents(file.get()), "note\n");
}

// Paths and messages of libraries used to come out as they were.
TEST(LiveLineTest, TakesOutWhatATerminalMightObey) {
  const TemporaryFile file(std::tmpfile());
  LiveLine live(file.get(), true);
  live.write_line(std::string("a\x1b[2J\nb\0c", 9) + "\u202Etxt");
  live.show("d\x1b]0;x\x07");
  EXPECT_EQ(contents(file.get()), "a?[2J b?c?txt\n\r\x1b[Kd?]0;x?");
}

TEST(LiveLineTest, CutsToTheWidthWithoutCuttingACharacter) {
  const TemporaryFile file(std::tmpfile());
  LiveLine live(file.get(), true);
  live.show(std::string(78, 'x') + "\xC3\xA9tail");  // bytes 78 and 79 are one character; 79 bytes fit
  EXPECT_EQ(contents(file.get()), "\r\x1b[K" + std::string(78, 'x'));
}

}  // namespace
}  // namespace hici
