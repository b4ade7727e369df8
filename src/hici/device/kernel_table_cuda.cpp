// SPDX-License-Identifier: Apache-2.0
// The plug-in's table of all functions of kernels.def. The loader finds it by name (cuda_plugin.cpp).
#include "hici/device/kernels_cuda.h"

extern "C" const hici::device::KernelTable* hici_cuda_kernels() {
  static const hici::device::KernelTable table{
#define HICI_KERNEL(result, name, ...) .name = hici::device::kernels::name,
#ifndef HICI_HAS_CUDNN
#define HICI_CUDNN_KERNEL(result, name, ...) .name = nullptr,
#endif
#ifndef HICI_HAS_HOPPER
#define HICI_HOPPER_KERNEL(result, name, ...) .name = nullptr,
#endif
#ifndef HICI_HAS_NCCL
#define HICI_NCCL_KERNEL(result, name, ...) .name = nullptr,
#endif
#include "hici/device/kernels.def"
  };
  return &table;
}
