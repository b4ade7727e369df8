// SPDX-License-Identifier: Apache-2.0
// Declarations of the functions of kernels.def, for the files of the plug-in that define them (NAME_cuda.cpp).
#pragma once

#include "hici/device/kernel_table.h"

namespace hici::device::kernels {

#define HICI_KERNEL(result, name, ...) result name(__VA_ARGS__);
#include "hici/device/kernels.def"

}  // namespace hici::device::kernels
