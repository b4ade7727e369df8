// SPDX-License-Identifier: Apache-2.0
#include "hici/device/kernel_table.h"

#include "hici/base/error.h"

namespace hici::device {
namespace {
const KernelTable* registered_table = nullptr;
}

const KernelTable& cuda_kernels() {
  HICI_ASSERT(registered_table != nullptr, "a CUDA tensor reached an op before the CUDA plug-in was loaded");
  return *registered_table;
}

void register_cuda_kernels(const KernelTable* table) { registered_table = table; }

}  // namespace hici::device
