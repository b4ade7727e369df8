// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/product_room.h"

#include "hici/ops/kernel_table.h"

#include <cstdlib>

namespace hici::ops {
namespace {

int room() {
  static const int n = std::getenv("HICI_ROOM") ? std::atoi(std::getenv("HICI_ROOM")) : 4;
  return n;
}

}  // namespace

ProductRoom::ProductRoom(c10::Device device, bool wanted) : is_set_(wanted && device.is_cuda()) {
  if (is_set_) cuda_kernels().leave_multiprocessors(room());
}

ProductRoom::~ProductRoom() {
  if (is_set_) cuda_kernels().leave_multiprocessors(0);
}

}  // namespace hici::ops
