// SPDX-License-Identifier: Apache-2.0
// Text of unknown origin (names in files, messages of libraries, paths) for a terminal or a page.
#pragma once

#include <string>
#include <string_view>

namespace hici {

// Valid UTF-8 in which '?' stands for each byte that is none and for each character that shows nothing and may be
// obeyed: controls (C0 and C1), the marks and overrides of writing direction, separators of lines, zero width. The two
// joiners stay: words of some languages need them.
std::string clean_text(std::string_view text);

// As one line of a message: line ends and tabs become spaces, and the joiners go too.
std::string clean_line(std::string_view text);

// Text of many lines for a terminal: line ends, tabs and all writing stay, marks of direction too; '?' stands for the
// controls with which a text could move the cursor, or make the terminal answer as if somebody had typed.
std::string terminal_text(std::string_view text);

}  // namespace hici
