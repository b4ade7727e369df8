// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/product_room.h"

#include "hici/ops/kernel_table.h"

#include <ATen/Context.h>
#include <c10/util/Exception.h>

#include <optional>

namespace hici::ops {
namespace {

// 4 of the 132 of a Hopper card: the 1,024 tiles (256 x 128) of a product of 8192 x 4096 take 8 waves on 128 as on 132,
// and so it is for other powers of two; on 124 they take 9.
constexpr int kLeftAlone = 4;
// cuBLAS groups blocks in clusters of up to eight for small products, and a group of more than two finds no place on
// what is left alone. For two multiprocessors it makes groups of two at the most, which always do.
constexpr int kFew = 2;

int target_of(ProductShare share) {
  return share == ProductShare::kAll ? 0 : share == ProductShare::kMost ? -kLeftAlone : kFew;
}

// LibTorch says of the setting below that it may go in a later version, which is no concern of who trains a model.
class NoWarnings : public c10::WarningHandler {
  void process(const c10::Warning&) override {}
};

// Products in 8 bits take no notice of that target; LibTorch has a setting of its own for them, of the whole process.
// Forward and backward never run at once.
void leave_to_others(std::optional<int32_t> count) {
  static NoWarnings silent;
  const c10::WarningUtils::WarningHandlerGuard guard(&silent);
  at::globalContext()._setSMCarveout_EXPERIMENTAL(count);
}

}  // namespace

ProductRoom::ProductRoom(c10::Device device, ProductShare share) : is_set_(device.is_cuda()), share_(share) {
  if (!is_set_) return;
  before_ = cuda_kernels().set_multiprocessors(target_of(share));
  if (share == ProductShare::kMost) leave_to_others(kLeftAlone);
}

ProductRoom::~ProductRoom() {
  if (!is_set_) return;
  cuda_kernels().set_multiprocessors(before_);
  if (share_ == ProductShare::kMost) leave_to_others(std::nullopt);
}

}  // namespace hici::ops
