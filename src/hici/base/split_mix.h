// SPDX-License-Identifier: Apache-2.0
// The generator SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): a counter
// that goes on by kSplitMixStep, and a bijection of 64-bit numbers that makes it random. It needs no state but the
// counter.
#pragma once

#include <cstdint>

namespace hici {

constexpr uint64_t kSplitMixStep = 0x9E3779B97F4A7C15;
constexpr uint64_t kSplitMixFactors[2] = {0xBF58476D1CE4E5B9, 0x94D049BB133111EB};

constexpr uint64_t split_mix(uint64_t z) {
  z = (z ^ (z >> 30)) * kSplitMixFactors[0];
  z = (z ^ (z >> 27)) * kSplitMixFactors[1];
  return z ^ (z >> 31);
}

}  // namespace hici
