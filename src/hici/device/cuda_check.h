// SPDX-License-Identifier: Apache-2.0
// HICI_CUDA_CHECK(expr): throws std::runtime_error when a CUDA call fails. The message has CUDA's reason, the
// expression, the file and the line. For the plug-in's files.
#pragma once

#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

namespace hici::device {

inline void check_cuda(cudaError_t status, const char* expression, const char* file, int line) {
  if (status == cudaSuccess) return;
  throw std::runtime_error(std::string("CUDA: ") + cudaGetErrorString(status) + "; " + expression + " at " + file +
                           ":" + std::to_string(line));
}

}  // namespace hici::device

#define HICI_CUDA_CHECK(expr) ::hici::device::check_cuda((expr), #expr, __FILE__, __LINE__)
