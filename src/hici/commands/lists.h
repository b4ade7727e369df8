// SPDX-License-Identifier: Apache-2.0
// Values of options that are more than a word: lists ("a,b,c") and sizes ("5GB").
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

// "5GB", "300 MB", "30KB", "1GiB" or a number of bytes, as transformers reads --max_shard_size. `subject` is the
// option.
uint64_t parse_size(const std::string& text, const std::string& subject);

}  // namespace hici::commands
