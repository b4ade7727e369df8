// SPDX-License-Identifier: Apache-2.0
// Room beside large matrix products: on a GPU they take every multiprocessor, and small work on another stream then
// waits for the end of each. While an object lives, this thread's products leave a few multiprocessors alone.
#pragma once

#include <c10/core/Device.h>

namespace hici::ops {

class ProductRoom {
 public:
  // Does nothing on a CPU, or when not `wanted`.
  ProductRoom(c10::Device device, bool wanted);
  ~ProductRoom();
  ProductRoom(const ProductRoom&) = delete;
  ProductRoom& operator=(const ProductRoom&) = delete;

 private:
  bool is_set_;
};

}  // namespace hici::ops
