// SPDX-License-Identifier: Apache-2.0
// Sizes that must divide others: segments a sequence, heads a width.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hici::config {

// Empty where `value` is positive and divides `whole`, which is positive; else what is wrong, with the divisors below
// and above it: "5 does not divide --seq_len 96; use 4 or 6".
std::string why_not_a_divisor(int64_t value, std::string_view whole_name, int64_t whole);

// All divisors of `whole`, which is positive, in order: "1, 2, 3, 6, 9, 18"; the middle ones left out where there are
// more than 12.
std::string shown_divisors(int64_t whole);

// A usage error of option `name` that says so. `other_way` follows: ", or 0 for one segment".
void check_divides(std::string_view name, int64_t value, std::string_view whole_name, int64_t whole,
                   std::string_view other_way = "");

// Segments of `whole` tokens, said in one of two ways: --segment_length, or where that is 0 --num_chunks.
void check_segments(int64_t segment_length, int64_t num_segments, std::string_view whole_name, int64_t whole);

}  // namespace hici::config
