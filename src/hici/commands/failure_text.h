// SPDX-License-Identifier: Apache-2.0
// The one line of an error for `main`, also where the error came out of a library in words of its own.
#pragma once

#include <exception>
#include <string>

namespace hici::commands {

// hici::Error says what it is. Memory that ran out, faults of the file system and everything that LibTorch or the
// standard library throws are put into one line with a way out.
std::string failure_text(const std::exception& error);

}  // namespace hici::commands
