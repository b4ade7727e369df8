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

  // In [low, high), at most 2^32 numbers apart: 32-bit draws, cut to as many bits as the largest number has, until one
  // is not too large. Where there is one number only nothing is drawn.
  int64_t randint(int64_t low, int64_t high);

 private:
  std::mt19937 generator_;
};

}  // namespace hici::eval
