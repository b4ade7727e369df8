// SPDX-License-Identifier: Apache-2.0
// How far a long piece of work is: one live line on a terminal, a plain line every ten seconds otherwise; with rate and
// time left.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace hici {

enum class ProgressUnit { kItems, kBytes };

// Used by one thread. The destructor takes an unfinished line off the terminal, so that an error stands alone.
class Progress {
 public:
  // `what`: the items in plural ("windows"), or with kBytes what is done to them ("tokenizing"). `total` 0: not known.
  // Nothing is shown before `quiet` has passed.
  Progress(std::string what, int64_t total, ProgressUnit unit = ProgressUnit::kItems,
           std::chrono::seconds quiet = std::chrono::seconds(0));
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  // Cheap to call often: most calls only look at the clock.
  void update(int64_t done);
  // Removes the live line; the caller prints the result.
  void finish();
  double seconds() const;

  // The line for a state; what update() shows.
  static std::string text(const std::string& what, int64_t done, int64_t total, double seconds, ProgressUnit unit);

 private:
  using Clock = std::chrono::steady_clock;
  std::string what_;
  int64_t total_;
  ProgressUnit unit_;
  Clock::time_point start_;
  Clock::time_point next_;
  bool shown_ = false;
};

}  // namespace hici
