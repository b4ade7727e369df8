// SPDX-License-Identifier: Apache-2.0
// Options that take several values, "a,b,c".
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hici::commands {

// The parts between commas; empty ones are left out.
std::vector<std::string> split_at_commas(const std::string& text);

// The values of an option that may be given as "a,b", as "a b" (the words of one option), or both ways at once. None,
// or one twice, is a usage error; `subject` is the option.
std::vector<std::string> list_items(const std::vector<std::string>& words, const std::string& subject);
// The same as whole numbers of 1 or more.
std::vector<int64_t> list_of_lengths(const std::vector<std::string>& words, const std::string& subject);

}  // namespace hici::commands
