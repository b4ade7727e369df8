// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them: in live lines and reports at most four characters and a unit; with the word that they
// count; and as they are typed. And words as a shell reads them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hici {

inline constexpr double kGib = 1024.0 * 1024 * 1024;  // bytes

// 950, 8.12k, 81.2k, 812k, 1.23M (steps of 1000).
std::string human_count(double value);

// 512 B, 8.12 KiB, 812 MiB, 1.23 GiB (steps of 1024).
std::string human_bytes(int64_t bytes);

// 12s, 3m05s, 2h04m, 5d03h; "?" for what is not finite or below zero.
std::string human_duration(double seconds);

// 0.42 s, 8.31 s, then as human_duration(): for what mostly takes less than a minute.
std::string short_duration(double seconds);

// "1 step", "2 steps", "0 steps": `noun` is the singular of a word that takes an s.
std::string counted(int64_t count, std::string_view noun);

// As it would be typed, with no more digits than read back as the same number: 0.0005, 2e-05, 20.
std::string shortest_number(double value);

// `text` as one word of a command line of a shell: as it is, or in single quotes where it needs them.
std::string shell_word(std::string_view text);

}  // namespace hici
