// SPDX-License-Identifier: Apache-2.0
#include "hici/device/cuda_check.h"
#include "hici/device/kernels_cuda.h"

#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAFunctions.h>
#include <c10/cuda/CUDAGuard.h>

#include <ATen/ATen.h>

#include <algorithm>
#include <memory>
#include <string>

namespace hici::device::kernels {

int device_capability(int index) {
  int major = 0, minor = 0;
  HICI_CUDA_CHECK(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index));
  HICI_CUDA_CHECK(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index));
  return 10 * major + minor;
}

void limit_memory(int index, int64_t bytes) {
  size_t free = 0, total = 0;
  const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(index));
  HICI_CUDA_CHECK(cudaMemGetInfo(&free, &total));
  const double fraction = std::min(1.0, static_cast<double>(bytes) / static_cast<double>(total));
  c10::cuda::CUDACachingAllocator::init(c10::cuda::device_count());
  c10::cuda::CUDACachingAllocator::setMemoryFraction(fraction, static_cast<c10::DeviceIndex>(index));
}

// The allocator's handle is of a whole block and has any bytes: "OFFSET HEXADECIMAL".
std::string export_memory(const at::Tensor& t) {
  TORCH_CHECK(t.scalar_type() == at::kByte && t.is_contiguous(), "uint8 in one piece, not ", t.sizes());
  const c10::cuda::CUDAGuard guard(t.device());
  const auto shared = c10::cuda::CUDACachingAllocator::shareIpcHandle(t.data_ptr());
  std::string text = std::to_string(shared.offset) + " ";
  for (const char c : shared.handle) {
    constexpr const char* kDigits = "0123456789abcdef";
    text += kDigits[static_cast<unsigned char>(c) >> 4];
    text += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

at::Tensor import_memory(const std::string& text, int64_t bytes, int index) {
  const c10::cuda::CUDAGuard guard(static_cast<c10::DeviceIndex>(index));
  const size_t space = text.find(' ');
  const std::ptrdiff_t offset = std::stoll(text.substr(0, space));
  std::string handle;
  for (size_t i = space + 1; i + 1 < text.size(); i += 2)
    handle += static_cast<char>(std::stoi(text.substr(i, 2), nullptr, 16));
  const std::shared_ptr<void> block = c10::cuda::CUDACachingAllocator::getIpcDevPtr(handle);
  const at::Device device(at::kCUDA, static_cast<c10::DeviceIndex>(index));
  return at::from_blob(
      static_cast<char*>(block.get()) + offset, {bytes}, [block](void*) {},
      at::TensorOptions().dtype(at::kByte).device(device), device);
}

}  // namespace hici::device::kernels
