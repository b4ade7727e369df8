// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/product_room.h"

#include "hici/ops/kernel_table.h"

namespace hici::ops {
namespace {

// 4 of the 132 of a Hopper card: the 1,024 tiles (256 x 128) of a product of 8192 x 4096 take 8 waves on 128 as on 132,
// and so it is for other powers of two; on 124 they take 9.
constexpr int kMultiprocessors = 4;

}  // namespace

ProductRoom::ProductRoom(c10::Device device, bool wanted) : is_set_(wanted && device.is_cuda()) {
  if (is_set_) cuda_kernels().leave_multiprocessors(kMultiprocessors);
}

ProductRoom::~ProductRoom() {
  if (is_set_) cuda_kernels().leave_multiprocessors(0);
}

}  // namespace hici::ops
