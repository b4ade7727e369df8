// SPDX-License-Identifier: Apache-2.0
// Room beside large matrix products: on a GPU they take every multiprocessor, and small work on another stream then
// waits for the end of each. While an object lives, this thread's products take their share alone.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>

namespace hici::ops {

enum class ProductShare {
  kAll,   // what the library takes by itself
  kMost,  // all but a few multiprocessors
  kFew,   // of a few rows: two neighbours, so that no block waits for a group of multiprocessors to be free
};

class ProductRoom {
 public:
  // Does nothing on a CPU. The share of before is back when this object ends.
  ProductRoom(c10::Device device, ProductShare share);
  ~ProductRoom();
  ProductRoom(const ProductRoom&) = delete;
  ProductRoom& operator=(const ProductRoom&) = delete;

 private:
  bool is_set_;
  ProductShare share_;
  int before_ = 0;
};

}  // namespace hici::ops
