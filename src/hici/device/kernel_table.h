// SPDX-License-Identifier: Apache-2.0
// The interface between libhici and its CUDA plug-in: a table of function pointers, so that the program links no CUDA
// library. An op calls cuda_kernels() when its tensors are on a GPU. kernels.def lists and documents the functions.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace hici::device {

struct RecordedGraph;  // a CUDA graph; defined in the plug-in

struct KernelTable {
#define HICI_KERNEL(result, name, ...) result (*name)(__VA_ARGS__) = nullptr;
#include "hici/device/kernels.def"
};

// The plug-in's table. An hici::Error when the plug-in is not loaded.
const KernelTable& cuda_kernels();

// Called once, by the plug-in loader.
void register_cuda_kernels(const KernelTable* table);

}  // namespace hici::device
