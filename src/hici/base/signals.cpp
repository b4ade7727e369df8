// SPDX-License-Identifier: Apache-2.0
#include "hici/base/signals.h"

#include <atomic>

namespace hici {
namespace {

// A lock-free atomic is what a handler may touch, and other threads read it too.
std::atomic<int> requested_signal{0};
static_assert(std::atomic<int>::is_always_lock_free);
std::atomic<bool> installed{false};

extern "C" void note_stop_signal(int signal) {
  int none = 0;
  requested_signal.compare_exchange_strong(none, signal);
}

}  // namespace

int stop_requested() noexcept { return requested_signal.load(std::memory_order_relaxed); }

StopSignals::StopSignals() {
  HICI_ASSERT(!installed.exchange(true), "StopSignals is installed twice");
  requested_signal = 0;
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
