// SPDX-License-Identifier: Apache-2.0
// The numbers of numpy's legacy generator: np.random.RandomState(seed).randint(low, high), which published passkey
// tests were drawn with.
#pragma once

#include <cstdint>
#include <random>

namespace hici::eval {

class NumpyRandom {
 public:
  // numpy takes seeds from 0 to 2^32 - 1. It and std::mt19937 fill the state in the same way (init_genrand).
  explicit NumpyRandom(uint32_t seed) : generator_(seed) {}

  // In [low, high), a range of at most 2^32 numbers. Draws 32 bits, masked to the bits of the largest number, until the
  // value is in range. A range of one number draws nothing.
  int64_t randint(int64_t low, int64_t high);

 private:
  std::mt19937 generator_;
};

}  // namespace hici::eval
