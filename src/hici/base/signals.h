// SPDX-License-Identifier: Apache-2.0
// A wish to stop (SIGTERM and SIGUSR1 of a scheduler, Ctrl-C of a person) as a flag that long loops look at, so that
// they can save before they end. The exit code of a run that was stopped and has saved is 128 + the signal.
#pragma once

#include <csignal>

#include <array>

namespace hici {

// The signal that asked this process to stop (the first one), or 0. Cheap; call it in every micro-batch.
int stop_requested() noexcept;

// While it lives, SIGTERM, SIGUSR1 and the first SIGINT only set the flag; a second SIGINT ends the process at once.
// Starts with the flag cleared and puts the former handlers back at the end. One at a time in a process.
class StopSignals {
 public:
  StopSignals();
  ~StopSignals();
  StopSignals(const StopSignals&) = delete;
  StopSignals& operator=(const StopSignals&) = delete;

 private:
  static constexpr std::array<int, 3> kSignals = {SIGTERM, SIGUSR1, SIGINT};
  std::array<struct sigaction, kSignals.size()> former_{};
};

}  // namespace hici
