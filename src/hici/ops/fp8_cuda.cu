// SPDX-License-Identifier: Apache-2.0
// Quantises rows to float8_e4m3fn, each by its largest magnitude: a block reads its row twice, the second time from the
// cache.
#include "hici/ops/fp8_cuda.h"

#include "hici/ops/cuda_types.cuh"

#include <cuda_fp8.h>

namespace hici::ops::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kPack = 8;           // elements of a thread in one move
constexpr float kLargest = 448.f;  // of the type

template <typename T>
__device__ void load_scaled(const T* x, const float* factor, int64_t column, float (&out)[kPack]) {
  const Pack<T, kPack> pack = load_pack<T, kPack>(x + column);
#pragma unroll
  for (int j = 0; j < kPack; ++j)
    out[j] = static_cast<float>(pack.at[j]) * (factor == nullptr ? 1.f : factor[column + j]);
}

// The largest of the block's values, known to all; a NaN counts as nothing and stays one when it is narrowed.
__device__ float block_largest(float value) {
  __shared__ float partial[kThreads / 32];
  for (int offset = 16; offset > 0; offset /= 2) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, offset));
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  float largest = partial[0];
  for (int i = 1; i < kThreads / 32; ++i) largest = fmaxf(largest, partial[i]);
  return largest;
}

template <typename T>
__global__ void __launch_bounds__(kThreads)
    quantise_rows(QuantiseShape shape, const T* x, const float* factor, uint2* out, float* scale) {
  const int64_t row = blockIdx.x;
  const T* from = x + row / shape.length * shape.stride + row % shape.length * shape.width;
  float values[kPack], largest = 0.f;
  for (int64_t column = threadIdx.x * kPack; column < shape.width; column += kThreads * kPack) {
    load_scaled(from, factor, column, values);
#pragma unroll
    for (int j = 0; j < kPack; ++j) largest = fmaxf(largest, fabsf(values[j]));
  }
  largest = block_largest(largest);
  const float bound = largest == 0.f ? kLargest : largest, inverse = kLargest / bound;
  if (threadIdx.x == 0) scale[row] = bound / kLargest;
  for (int64_t column = threadIdx.x * kPack; column < shape.width; column += kThreads * kPack) {
    load_scaled(from, factor, column, values);
    uint2 packed;
    auto* pairs = reinterpret_cast<__nv_fp8x2_storage_t*>(&packed);
#pragma unroll
    for (int j = 0; j < kPack; j += 2) {
      pairs[j / 2] = __nv_cvt_float2_to_fp8x2(make_float2(values[j] * inverse, values[j + 1] * inverse), __NV_SATFINITE,
                                              __NV_E4M3);
    }
    out[(row * shape.width + column) / kPack] = packed;
  }
}

}  // namespace

cudaError_t launch_quantise_rows(ElementType type, const QuantiseShape& shape, const void* x, const float* factor,
                                 void* out, float* scale, cudaStream_t stream) {
  if (shape.segments * shape.length == 0) return cudaSuccess;
  if (shape.width % kPack != 0 || shape.stride % kPack != 0 || !is_packable(x)) return cudaErrorInvalidValue;
  return dispatch(type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    quantise_rows<T><<<static_cast<unsigned>(shape.segments * shape.length), kThreads, 0, stream>>>(
        shape, static_cast<const T*>(x), factor, static_cast<uint2*>(out), scale);
    return cudaGetLastError();
  });
}

}  // namespace hici::ops::cuda
