// SPDX-License-Identifier: Apache-2.0
#include "hici/base/live_line.h"

#include "hici/base/clean_text.h"
#include "hici/base/quiet.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <atomic>
#include <cstdlib>
#include <string_view>

namespace hici {
namespace {

constexpr size_t kDefaultColumns = 80;
constexpr const char* kEraseLine = "\r\x1b[K";

size_t terminal_columns(std::FILE* stream) {
  winsize size{};
  return ioctl(fileno(stream), TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : kDefaultColumns;
}

// At most `columns` - 1 bytes: a full last column makes some terminals wrap. Never cuts a UTF-8 character in two.
std::string_view fit_to(std::string_view text, size_t columns) {
  if (text.size() < columns) return text;
  size_t size = columns - 1;
  while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0) == 0x80) --size;
  return text.substr(0, size);
}

bool stderr_rewrites() {
  const char* term = std::getenv("TERM");
  return isatty(STDERR_FILENO) == 1 && std::string_view(term == nullptr ? "" : term) != "dumb";
}

std::atomic<bool> is_quiet{false};

LiveLine& silent_line() {
  static LiveLine line(std::fopen("/dev/null", "w"), false);
  return line;
}

}  // namespace

void LiveLine::show(const std::string& text) {
  if (!rewrites_) return;
  const std::lock_guard<std::mutex> lock(mutex_);
  shown_ = clean_line(text);
  draw_locked();
}

void LiveLine::erase() {
  const std::lock_guard<std::mutex> lock(mutex_);
  erase_locked();
  shown_.clear();
}

void LiveLine::finish() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (!shown_.empty()) std::fputs("\n", stream_);
  std::fflush(stream_);
  shown_.clear();
}

void LiveLine::write_line(const std::string& line) {
  const std::lock_guard<std::mutex> lock(mutex_);
  erase_locked();
  std::fprintf(stream_, "%s\n", clean_line(line).c_str());
  draw_locked();
}

void LiveLine::draw_locked() const {
  if (!shown_.empty()) {
    const std::string_view visible = fit_to(shown_, terminal_columns(stream_));
    std::fprintf(stream_, "%s%.*s", kEraseLine, static_cast<int>(visible.size()), visible.data());
  }
  std::fflush(stream_);
}

void LiveLine::erase_locked() const {
  if (shown_.empty()) return;
  std::fputs(kEraseLine, stream_);
  std::fflush(stream_);
}

LiveLine& loud_live_line() {
  static LiveLine line(stderr, stderr_rewrites());
  return line;
}

LiveLine& stderr_live_line() { return is_quiet ? silent_line() : loud_live_line(); }

void be_quiet() { is_quiet = true; }

}  // namespace hici
