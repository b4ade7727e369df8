// SPDX-License-Identifier: Apache-2.0
#include "hici/base/progress.h"

#include "hici/base/human.h"
#include "hici/base/live_line.h"

#include <array>
#include <cstdio>
#include <utility>

namespace hici {
namespace {

using namespace std::chrono_literals;
constexpr auto kLiveInterval = 200ms;
constexpr auto kPlainInterval = 10s;

std::string formatted(const char* format, double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

std::string shown_amount(double amount, ProgressUnit unit) {
  return unit == ProgressUnit::kBytes ? human_bytes(static_cast<int64_t>(amount)) : formatted("%.0f", amount);
}

}  // namespace

std::string Progress::text(const std::string& what, int64_t done, int64_t total, double seconds, ProgressUnit unit) {
  const double rate = seconds > 0 ? static_cast<double>(done) / seconds : 0;
  std::string line = what + ": " + shown_amount(static_cast<double>(done), unit);
  if (total > 0) {
    line += " of " + shown_amount(static_cast<double>(total), unit);
    line += formatted(" (%.0f%%)", 100.0 * static_cast<double>(done) / static_cast<double>(total));
  }
  if (rate > 0)
    line += ", " + (unit == ProgressUnit::kBytes ? human_bytes(static_cast<int64_t>(rate)) : human_count(rate)) + "/s";
  if (rate > 0 && total > done) line += ", " + human_duration(static_cast<double>(total - done) / rate) + " left";
  return line;
}

Progress::Progress(std::string what, int64_t total, ProgressUnit unit, std::chrono::seconds quiet)
    : what_(std::move(what)), total_(total), unit_(unit), start_(Clock::now()), next_(start_ + quiet) {
  if (!stderr_live_line().rewrites()) next_ += kPlainInterval;
}

Progress::~Progress() { finish(); }

double Progress::seconds() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

void Progress::update(int64_t done) {
  const Clock::time_point now = Clock::now();
  if (now < next_) return;
  const bool live = stderr_live_line().rewrites();
  next_ = now + (live ? Clock::duration(kLiveInterval) : Clock::duration(kPlainInterval));
  const std::string line = text(what_, done, total_, seconds(), unit_);
  if (live) {
    stderr_live_line().show(line);
    shown_ = true;
  } else {
    stderr_live_line().write_line(line);
  }
}

void Progress::finish() {
  if (shown_) stderr_live_line().erase();
  shown_ = false;
}

}  // namespace hici
