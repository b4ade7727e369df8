// SPDX-License-Identifier: Apache-2.0
// SM budget of GEMMs. A large GEMM occupies every SM of a GPU, so a small kernel on another stream waits until it ends.
// A carveout reserves SMs for such kernels.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>

namespace hici::device {

enum class SmBudget {
  kAll,      // the library's own choice
  kReserve,  // all SMs but a few reserved ones
  kTwo,      // two SMs: cuBLAS then picks clusters of at most 2 blocks, which fit the reserved SMs
};

// A product of so many rows at most is small: next to large ones on another stream it takes kTwo.
inline constexpr int64_t kFewRows = 128;

// Applies `budget` to the cuBLAS GEMMs of this thread for its lifetime, and restores the previous budget at its end. No
// effect on a CPU.
class SmCarveout {
 public:
  SmCarveout(c10::Device device, SmBudget budget);
  ~SmCarveout();
  SmCarveout(const SmCarveout&) = delete;
  SmCarveout& operator=(const SmCarveout&) = delete;

 private:
  bool is_set_;
  SmBudget budget_;
  int previous_ = 0;
};

}  // namespace hici::device
