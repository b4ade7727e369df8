// SPDX-License-Identifier: Apache-2.0
#include "hici/device/sm_carveout.h"

#include "hici/device/kernel_table.h"

#include <ATen/Context.h>
#include <c10/util/Exception.h>

#include <optional>

namespace hici::device {
namespace {

// 4 of the 132 SMs of a Hopper card. The 1,024 tiles (256 x 128) of an 8192 x 4096 product take 8 waves on 128 SMs as
// on 132; so do other powers of two. On 124 SMs they take 9.
constexpr int kReservedSms = 4;
// For small products cuBLAS launches clusters of up to eight blocks. A cluster of more than two does not fit the
// reserved SMs. With a target of two SMs it launches clusters of at most two, which always fit.
constexpr int kTwoSms = 2;

int sm_target(SmBudget budget) {
  return budget == SmBudget::kAll ? 0 : budget == SmBudget::kReserve ? -kReservedSms : kTwoSms;
}

// LibTorch warns that the setting below is experimental. Users of this program need not know.
class NoWarnings : public c10::WarningHandler {
  void process(const c10::Warning&) override {}
};

// FP8 GEMMs ignore the cuBLAS target. LibTorch has a process-wide setting for them. Forward and backward never run at
// the same time.
void reserve_sms(std::optional<int32_t> count) {
  static NoWarnings silent;
  const c10::WarningUtils::WarningHandlerGuard guard(&silent);
  at::globalContext()._setSMCarveout_EXPERIMENTAL(count);
}

}  // namespace

SmCarveout::SmCarveout(c10::Device device, SmBudget budget) : is_set_(device.is_cuda()), budget_(budget) {
  if (!is_set_) return;
  previous_ = cuda_kernels().set_sm_target(sm_target(budget));
  if (budget == SmBudget::kReserve) reserve_sms(kReservedSms);
}

SmCarveout::~SmCarveout() {
  if (!is_set_) return;
  cuda_kernels().set_sm_target(previous_);
  if (budget_ == SmBudget::kReserve) reserve_sms(std::nullopt);
}

}  // namespace hici::device
