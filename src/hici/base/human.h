// SPDX-License-Identifier: Apache-2.0
// Numbers as people read them in live lines and reports: at most four characters and a unit.
#pragma once

#include <cstdint>
#include <string>

namespace hici {

// 950, 8.12k, 81.2k, 812k, 1.23M (steps of 1000).
std::string human_count(double value);

// 512 B, 8.12 KiB, 812 MiB, 1.23 GiB (steps of 1024).
std::string human_bytes(int64_t bytes);

// 12s, 3m05s, 2h04m, 5d03h; "?" for what is not finite or below zero.
std::string human_duration(double seconds);

}  // namespace hici
