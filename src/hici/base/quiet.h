// SPDX-License-Identifier: Apache-2.0
// Of the processes of a run one speaks. The others keep notes, warnings and progress to themselves, which would be the
// same; what ends a process is said all the same.
#pragma once

#include <string>

namespace hici {

// From now on nothing but write_error_line() reaches stderr.
void be_quiet();

void write_error_line(const std::string& line);

}  // namespace hici
