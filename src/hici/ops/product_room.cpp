// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/product_room.h"

#include "hici/ops/kernel_table.h"

namespace hici::ops {
namespace {

// 4 of the 132 of a Hopper card. Products of whole powers of two take as many waves of tiles on 128 as on 132, so that
// this room costs nothing; twice as much makes the products a tenth slower (measured on an H200).
constexpr int kMultiprocessors = 4;

}  // namespace

ProductRoom::ProductRoom(c10::Device device, bool wanted) : is_set_(wanted && device.is_cuda()) {
  if (is_set_) cuda_kernels().leave_multiprocessors(kMultiprocessors);
}

ProductRoom::~ProductRoom() {
  if (is_set_) cuda_kernels().leave_multiprocessors(0);
}

}  // namespace hici::ops
