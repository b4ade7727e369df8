// SPDX-License-Identifier: Apache-2.0
#include "hici/base/log.h"

#include "hici/base/clean_text.h"
#include "hici/base/field_text.h"
#include "hici/base/live_line.h"
#include "hici/base/quiet.h"
#include "hici/base/signals.h"
#include "hici/base/version.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdio>

namespace hici {
namespace {

std::atomic<std::string (*)(const std::string&)> log_wording = nullptr;

std::string worded(const std::string& line) {
  const auto wording = log_wording.load();
  return wording == nullptr ? line : wording(line);
}

}  // namespace

void write_stdout(const std::string& text) {
  stderr_live_line().erase();  // both streams may be the same terminal
  // What a model wrote may hold controls: files and pipes get them, a terminal would obey them.
  const std::string shown = isatty(STDOUT_FILENO) == 1 ? terminal_text(text) : text;
  const bool whole = std::fwrite(shown.data(), 1, shown.size(), stdout) == shown.size() && std::fflush(stdout) == 0;
  // A reader that has seen enough (head) is no failure; nobody may be there to read a line about it either.
  if (!whole && errno == EPIPE) throw Stopped(SIGPIPE, "stdout: nobody reads the pipe any more");
  HICI_CHECK(whole, "stdout: cannot write ", text.size(), " bytes; is the disk full?");
}

void set_log_wording(std::string (*wording)(const std::string& line)) { log_wording = wording; }

void write_log_line(const std::string& line) { stderr_live_line().write_line(worded(line)); }

void write_error_line(const std::string& line) { loud_live_line().write_line(worded(line)); }

std::string version_text() {
  return detail::concat("hici ", kVersion, " (git ", kGitRevision, ")\nLibTorch ", kTorchVersion, "\nCUDA ",
                        kCudaSummary, "\ntext ", kTextSummary, "\nArrow ", kArrowSummary, "\n");
}

}  // namespace hici
