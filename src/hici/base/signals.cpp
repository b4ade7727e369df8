// SPDX-License-Identifier: Apache-2.0
#include "hici/base/signals.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <string_view>

namespace hici {
namespace {

// A lock-free atomic is what a handler may touch, and other threads read it too.
std::atomic<int> requested_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);
std::atomic<bool> installed{false};
std::atomic<bool> is_terminal{false};

// Saving may take minutes; somebody who sees nothing presses again.
constexpr std::string_view kFirstInterrupt =
    "\nstopping: what is done is kept first; Ctrl-C once more ends at once and loses it\n";

extern "C" void note_stop_signal(int signal) {
  int none = 0;
  if (!requested_signal.compare_exchange_strong(none, signal) || signal != SIGINT || !is_terminal) return;
  const int error = errno;  // of what was interrupted
  static_cast<void>(!write(STDERR_FILENO, kFirstInterrupt.data(), kFirstInterrupt.size()));
  errno = error;
}

}  // namespace

int stop_requested() noexcept { return requested_signal.load(std::memory_order_relaxed); }

StopSignals::StopSignals() {
  HICI_ASSERT(!installed.exchange(true), "StopSignals is installed twice");
  requested_signal = 0;
  is_terminal = isatty(STDERR_FILENO) == 1;
  for (size_t i = 0; i < kSignals.size(); ++i) {
    HICI_ASSERT(sigaction(kSignals[i], nullptr, &former_[i]) == 0, "sigaction refuses signal ", kSignals[i]);
    if (kSignals[i] == SIGHUP && former_[i].sa_handler == SIG_IGN) continue;
    struct sigaction action{};
    action.sa_handler = note_stop_signal;
    sigemptyset(&action.sa_mask);
    action.sa_flags = SA_RESTART;
    // SA_RESETHAND: the second Ctrl-C meets the default action, which ends the process.
    if (kSignals[i] == SIGINT) action.sa_flags |= static_cast<int>(SA_RESETHAND);
    HICI_ASSERT(sigaction(kSignals[i], &action, nullptr) == 0, "sigaction refuses signal ", kSignals[i]);
  }
}

StopSignals::~StopSignals() {
  for (size_t i = 0; i < kSignals.size(); ++i) sigaction(kSignals[i], &former_[i], nullptr);
  installed = false;
}

PostponedSignals::PostponedSignals() {
  if (!installed) signals_.emplace();
}

PostponedSignals::~PostponedSignals() {
  if (!signals_) return;
  const int signal = stop_requested();
  signals_.reset();
  requested_signal = 0;
  if (signal != 0) raise(signal);
}

}  // namespace hici
