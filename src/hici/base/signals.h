// SPDX-License-Identifier: Apache-2.0
// A wish to stop as a flag that long loops look at, so that they can save before they end: SIGTERM and SIGUSR1 of a
// scheduler, Ctrl-C of a person, SIGHUP of a terminal that closes, SIGPIPE of a reader of our lines that went away. The
// exit code of what was stopped is 128 + the signal.
#pragma once

#include "hici/base/error.h"

#include <csignal>

#include <array>
#include <optional>
#include <string>

namespace hici {

// The signal that asked this process to stop (the first one), or 0. Cheap; call it in every micro-batch.
int stop_requested() noexcept;

// Thrown by what was stopped and has nothing more to do; its destructors have cleaned up. No failure: `main` shows the
// line without "error" and exits with exit_code().
class Stopped : public Error {
 public:
  Stopped(int signal, const std::string& what) : Error(what), signal_(signal) {}
  int exit_code() const { return 128 + signal_; }

 private:
  int signal_;
};

// Throws Stopped when a stop was asked for: "stopped by signal 15" and the parts.
template <typename... Parts>
void check_stop(const Parts&... parts) {
  const int signal = stop_requested();
  if (signal != 0) throw Stopped(signal, detail::concat("stopped by signal ", signal, parts...));
}

// While it lives, SIGTERM, SIGUSR1, SIGHUP, SIGPIPE and the first SIGINT only set the flag; a second SIGINT ends the
// process at once. A SIGHUP that was ignored at the start (nohup) stays so. Starts with the flag cleared and puts the
// former handlers back at the end. One at a time in a process.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

 private:
  static constexpr std::array<int, 5> kSignals = {SIGTERM, SIGUSR1, SIGINT, SIGHUP, SIGPIPE};
  std::array<struct sigaction, kSignals.size()> former_{};
};

// For work of a moment that must not be cut in two, in programs that look at no flag: the same signals wait and have
// their usual effect when it is over. Does nothing beside StopSignals.
class PostponedSignals {
 public:
  PostponedSignals();
  ~PostponedSignals();
  PostponedSignals(const PostponedSignals&) = delete;
  PostponedSignals& operator=(const PostponedSignals&) = delete;

 private:
  std::optional<StopSignals> signals_;
};

}  // namespace hici
