// SPDX-License-Identifier: Apache-2.0
// Quantises rows to float8_e4m3fn, each by its largest magnitude. A block has a row, and holds it in registers between
// the two; a row that is too wide for that is read twice, the second time from the cache.
#include "hici/ops/fp8_cuda.h"

#include "hici/ops/cuda_types.cuh"

#include <cuda_fp8.h>

namespace hici::ops::cuda {
namespace {

constexpr int kPack = 8;           // elements of a thread in one move
constexpr int kMaxHeldPacks = 4;   // of a thread: rows of up to 16,384 elements
constexpr float kLargest = 448.f;  // of the type

template <typename T>
__device__ __forceinline__ void scaled(const Pack<T, kPack>& pack, const float* factor, int64_t column,
                                       float (&out)[kPack]) {
#pragma unroll
  for (int j = 0; j < kPack; ++j) out[j] = static_cast<float>(pack.at[j]);
  if (factor == nullptr) return;
  const auto by = load_pack<float, kPack>(factor + column);
#pragma unroll
  for (int j = 0; j < kPack; ++j) out[j] *= by.at[j];
}

// The largest of the block's values, known to all; a NaN counts as nothing and stays one when it is narrowed.
template <int kThreads>
__device__ float block_largest(float value) {
  __shared__ float partial[kThreads / 32];
  for (int offset = 16; offset > 0; offset /= 2) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, offset));
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  float largest = partial[0];
#pragma unroll
  for (int i = 1; i < kThreads / 32; ++i) largest = fmaxf(largest, partial[i]);
  return largest;
}

__device__ __forceinline__ void raise_largest(const float (&values)[kPack], float& largest) {
#pragma unroll
  for (int j = 0; j < kPack; ++j) largest = fmaxf(largest, fabsf(values[j]));
}

__device__ __forceinline__ uint2 narrowed(const float (&values)[kPack], float inverse) {
  uint2 packed;
  auto* pairs = reinterpret_cast<__nv_fp8x2_storage_t*>(&packed);
#pragma unroll
  for (int j = 0; j < kPack; j += 2) {
    pairs[j / 2] =
        __nv_cvt_float2_to_fp8x2(make_float2(values[j] * inverse, values[j + 1] * inverse), __NV_SATFINITE, __NV_E4M3);
  }
  return packed;
}

// The row's scale, which one thread writes, as its inverse.
__device__ __forceinline__ float inverse_scale(float largest_of_row, float* scale) {
  const float bound = largest_of_row == 0.f ? kLargest : largest_of_row;
  if (threadIdx.x == 0) *scale = bound / kLargest;
  return kLargest / bound;
}

template <typename T>
__device__ __forceinline__ const T* row_of(const QuantiseShape& shape, const T* x, int64_t row) {
  return x + row / shape.length * shape.stride + row % shape.length * shape.width;
}

// kPacks packs of a thread are a whole row.
template <typename T, int kThreads, int kPacks>
__global__ void __launch_bounds__(kThreads)
    quantise_held_rows(QuantiseShape shape, const T* x, const float* factor, uint2* out, float* scale) {
  const int64_t row = blockIdx.x;
  const T* from = row_of(shape, x, row);
  Pack<T, kPack> packs[kPacks];
  float values[kPack], largest = 0.f;
  const auto column_of = [](int i) {
    return static_cast<int64_t>(i * kThreads + static_cast<int>(threadIdx.x)) * kPack;
  };
#pragma unroll
  for (int i = 0; i < kPacks; ++i)
    if (column_of(i) < shape.width) packs[i] = load_pack<T, kPack>(from + column_of(i));
#pragma unroll
  for (int i = 0; i < kPacks; ++i) {
    if (column_of(i) >= shape.width) continue;
    scaled(packs[i], factor, column_of(i), values);
    raise_largest(values, largest);
  }
  const float inverse = inverse_scale(block_largest<kThreads>(largest), scale + row);
#pragma unroll
  for (int i = 0; i < kPacks; ++i) {
    if (column_of(i) >= shape.width) continue;
    scaled(packs[i], factor, column_of(i), values);
    out[(row * shape.width + column_of(i)) / kPack] = narrowed(values, inverse);
  }
}

template <typename T, int kThreads>
__global__ void __launch_bounds__(kThreads)
    quantise_wide_rows(QuantiseShape shape, const T* x, const float* factor, uint2* out, float* scale) {
  const int64_t row = blockIdx.x;
  const T* from = row_of(shape, x, row);
  float values[kPack], largest = 0.f;
  for (int64_t column = threadIdx.x * kPack; column < shape.width; column += kThreads * kPack) {
    scaled(load_pack<T, kPack>(from + column), factor, column, values);
    raise_largest(values, largest);
  }
  const float inverse = inverse_scale(block_largest<kThreads>(largest), scale + row);
  for (int64_t column = threadIdx.x * kPack; column < shape.width; column += kThreads * kPack) {
    scaled(load_pack<T, kPack>(from + column), factor, column, values);
    out[(row * shape.width + column) / kPack] = narrowed(values, inverse);
  }
}

// The packs of a thread as a constant.
template <typename T, int kThreads, int kPacks = 1>
void launch_for_packs(int64_t packs, const QuantiseShape& shape, const T* x, const float* factor, uint2* out,
                      float* scale, cudaStream_t stream) {
  const auto rows = static_cast<unsigned>(shape.segments * shape.length);
  if constexpr (kPacks > kMaxHeldPacks) {
    quantise_wide_rows<T, kThreads><<<rows, kThreads, 0, stream>>>(shape, x, factor, out, scale);
  } else if (packs == kPacks) {
    quantise_held_rows<T, kThreads, kPacks><<<rows, kThreads, 0, stream>>>(shape, x, factor, out, scale);
  } else {
    launch_for_packs<T, kThreads, kPacks + 1>(packs, shape, x, factor, out, scale, stream);
  }
}

// A block of `kThreads`.
template <typename T, int kThreads>
void launch(const QuantiseShape& shape, const T* x, const float* factor, uint2* out, float* scale,
            cudaStream_t stream) {
  constexpr int64_t kOfPack = int64_t{kThreads} * kPack;
  launch_for_packs<T, kThreads>((shape.width + kOfPack - 1) / kOfPack, shape, x, factor, out, scale, stream);
}

}  // namespace

cudaError_t launch_quantise_rows(ElementType type, const QuantiseShape& shape, const void* x, const float* factor,
                                 void* out, float* scale, cudaStream_t stream) {
  if (shape.segments * shape.length == 0) return cudaSuccess;
  if (shape.width % kPack != 0 || shape.stride % kPack != 0 || !is_packable(x)) return cudaErrorInvalidValue;
  return dispatch(type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    // Two packs a thread, where the row has as many.
    const bool is_narrow = shape.width <= 4096;
    (is_narrow ? launch<T, 256> : launch<T, 512>)(shape, static_cast<const T*>(x), factor, static_cast<uint2*>(out),
                                                  scale, stream);
    return cudaGetLastError();
  });
}

}  // namespace hici::ops::cuda
