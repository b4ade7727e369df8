// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/passkey/numpy_random.h"

#include "hici/base/error.h"

#include <bit>
#include <limits>

namespace hici::eval {

int64_t NumpyRandom::randint(int64_t low, int64_t high) {
  HICI_ASSERT(low < high, "no number from ", low, " to below ", high);
  const uint64_t largest = static_cast<uint64_t>(high) - static_cast<uint64_t>(low) - 1;
  HICI_ASSERT(largest <= std::numeric_limits<uint32_t>::max(), "numpy would draw 64 bits for ", low, " to below ",
              high);
  if (largest == 0) return low;
  const auto mask = static_cast<uint32_t>(std::bit_ceil(largest + 1) - 1);
  uint32_t drawn = 0;
  do {
    drawn = static_cast<uint32_t>(generator_()) & mask;
  } while (drawn > largest);
  return low + static_cast<int64_t>(drawn);
}

}  // namespace hici::eval
