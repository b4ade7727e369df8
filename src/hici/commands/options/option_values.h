// SPDX-License-Identifier: Apache-2.0
// Values of options as text: numbers, lists ("a,b,c"), counts of tokens ("128K") and of bytes ("5GB"). `subject` is the
// option that had the text; what cannot be read or is out of range is a usage error that names it.
#pragma once

#include "hici/commands/options/range.h"

#include <cstdint>
#include <string>
#include <vector>

namespace hici::commands {

// Decimal digits with a sign or none. For int, int64_t and uint64_t.
template <typename T>
T parse_whole(const std::string& text, const std::string& subject, const Range<T>& range = {});
// Never nan or inf.
double parse_real(const std::string& text, const std::string& subject, const Range<double>& range = {});

// A whole number, or one with K, M or G behind it: 1024-based, as contexts are named in this field (128K = 131072).
int64_t parse_tokens(const std::string& text, const std::string& subject,
                     const Range<int64_t>& range = kTokensFromZero);
// "5GB", "300 MB", "30KB", "1GiB" or a number of bytes, as transformers reads --max_shard_size.
uint64_t parse_size(const std::string& text, const std::string& subject);
// The same for the memory of a device: a number alone is GiB, as cards are named (80 is 80GiB).
uint64_t parse_memory(const std::string& text, const std::string& subject);

// The parts between commas; empty ones are left out.
std::vector<std::string> split_at_commas(const std::string& text);

// The values of an option that may be given as "a,b", as "a b" (the words of one option), or both ways at once. None,
// or one twice, is a usage error.
std::vector<std::string> list_items(const std::vector<std::string>& words, const std::string& subject);
// The same as counts of 1 or more; those of tokens may be written as for parse_tokens().
std::vector<int64_t> list_of_lengths(const std::vector<std::string>& words, const std::string& subject);
std::vector<int64_t> list_of_batches(const std::vector<std::string>& words, const std::string& subject);

}  // namespace hici::commands
