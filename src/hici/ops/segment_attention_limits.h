// SPDX-License-Identifier: Apache-2.0
// What our attention for Hopper takes, for headers with and without LibTorch's.
#pragma once

#include <cstdint>

namespace hici::ops {

inline constexpr int64_t kMaxHopperSlots = 32;

}  // namespace hici::ops
