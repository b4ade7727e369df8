// SPDX-License-Identifier: Apache-2.0
// What numbers options take.
#pragma once

#include "hici/config/bounds.h"

#include <cstdint>
#include <limits>

namespace hici::commands {

// Ends included; by default whatever T holds, but neither nan nor inf.
template <typename T>
struct Range {
  T low = std::numeric_limits<T>::lowest();
  T high = std::numeric_limits<T>::max();

  bool has(T value) const { return value >= low && value <= high; }  // false for nan
};

constexpr Range<int64_t> kFromZero{0, config::kMaxCount};
constexpr Range<int64_t> kFromOne{1, config::kMaxCount};
constexpr Range<int64_t> kTokensFromZero{0, config::kMaxSequenceTokens};
constexpr Range<int64_t> kTokensFromOne{1, config::kMaxSequenceTokens};
constexpr Range<int64_t> kBatch{1, config::kMaxBatch};
constexpr Range<uint64_t> kSeeds{0, config::kMaxSeed};
constexpr Range<int> kThreads{0, 4096};  // 0: all cores

}  // namespace hici::commands
