// SPDX-License-Identifier: Apache-2.0
// The one line of a terminal that is rewritten in place (training steps, progress bars), and whole lines above it.
// Everything that goes to stderr passes through the one object of stderr_live_line(), so that a log line never lands
// in the middle of a live one, and is cleaned here (base/clean_text.h): no message moves the cursor or turns the
// writing around, whichever library or file its words came from. All functions may be called from any thread.
#pragma once

#include <cstdio>
#include <mutex>
#include <string>

namespace hici {

class LiveLine {
 public:
  // `rewrites`: the stream is a terminal that can move back to the start of its line. Otherwise show() writes nothing
  // and callers print plain lines at the pace that suits them.
  LiveLine(std::FILE* stream, bool rewrites) : stream_(stream), rewrites_(rewrites) {}
  LiveLine(const LiveLine&) = delete;
  LiveLine& operator=(const LiveLine&) = delete;

  bool rewrites() const { return rewrites_; }
  // Replaces the live line; cut to the width of the terminal.
  void show(const std::string& text);
  // Takes the live line off the screen.
  void erase();
  // Leaves the live line on the screen as a line of its own.
  void finish();
  // Writes a whole line; a live line moves below it.
  void write_line(const std::string& line);

 private:
  void draw_locked() const;
  void erase_locked() const;

  std::mutex mutex_;
  std::FILE* stream_;
  bool rewrites_;
  std::string shown_;  // empty: no live line on the screen
};

// The live line of stderr; rewrites when stderr is a terminal and TERM is not "dumb".
LiveLine& stderr_live_line();
// The same also where this process is to be quiet (base/quiet.h).
LiveLine& loud_live_line();

}  // namespace hici
