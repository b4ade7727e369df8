// SPDX-License-Identifier: Apache-2.0
// What a person sees: results on stdout, everything else (notes, warnings, progress) on stderr, one line each.
#pragma once

#include "hici/base/error.h"

#include <string>

namespace hici {

// Text on stdout, on a terminal as terminal_text(); a full disk is an hici::Error, a closed pipe hici::Stopped.
void write_stdout(const std::string& text);

// One line on stderr, above a live line (base/live_line.h) when there is one.
void write_log_line(const std::string& line);

template <typename... Parts>
void log_info(const Parts&... parts) {
  write_log_line(detail::concat(parts...));
}

template <typename... Parts>
void log_warning(const Parts&... parts) {
  write_log_line(detail::concat("warning: ", parts...));
}

// Version, git revision, LibTorch and CUDA of this binary; several lines.
std::string version_text();

}  // namespace hici
