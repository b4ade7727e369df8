// SPDX-License-Identifier: Apache-2.0
// What forward and backward of segment_attention on Hopper share.
#pragma once

#include "hici/ops/hopper.cuh"
#include "hici/ops/segment_attention_hopper_cuda.h"

#include <algorithm>
#include <array>
#include <type_traits>

namespace hici::ops::cuda {

constexpr int kWarpgroup = 128;
constexpr int kHalf = 64;  // numbers in a row of a tile in shared memory: 128 bytes
constexpr float kLog2e = 1.4426950408889634f;

// The n-th use of a ring of `size` places.
template <int kSize>
struct Ring {
  int place = 0;
  unsigned parity = 0;
  __device__ void advance() {
    if (++place == kSize) {
      place = 0;
      parity ^= 1;
    }
  }
};

__device__ inline float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// The four threads that hold a row.
__device__ inline float quad_max(float x) {
  x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
  return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}
__device__ inline float quad_sum(float x) {
  x += __shfl_xor_sync(0xffffffffu, x, 1);
  return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

template <typename T, int kCount>
__device__ void pack_all(const float (&s)[kCount], unsigned (&p)[kCount / 2]) {
#pragma unroll
  for (int i = 0; i < kCount / 2; ++i) p[i] = packed<T>(s[2 * i], s[2 * i + 1]);
}

// Four threads hold 2 neighbouring numbers of each group of 8: after it, thread i of them holds group i whole.
__device__ inline void transpose_quad(unsigned (&w)[4]) {
  const int lane = threadIdx.x % 4;
#pragma unroll
  for (int bit = 1; bit <= 2; bit *= 2) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (i & bit) continue;
      const bool upper = lane & bit;
      const unsigned sent = upper ? w[i] : w[i | bit];
      const unsigned got = __shfl_xor_sync(0xffffffffu, sent, bit);
      if (upper) {
        w[i] = got;
      } else {
        w[i | bit] = got;
      }
    }
  }
}

// A row of D numbers that four threads hold, two neighbouring ones of each 8: pair(j) are this thread's of the j-th 8.
template <typename T, int kD, typename Pair>
__device__ void store_row(T* row, bool is_there, Pair pair) {
#pragma unroll
  for (int i = 0; i < kD / 32; ++i) {
    unsigned w[4];
#pragma unroll
    for (int j = 0; j < 4; ++j) w[j] = pair(4 * i + j);
    transpose_quad(w);
    if (is_there) *reinterpret_cast<uint4*>(row + i * 32 + threadIdx.x % 4 * 8) = {w[0], w[1], w[2], w[3]};
  }
}

// Work in the order in which blocks take it: the largest tiles of `at_once` pairs, then the next ones.
struct TileOrder {
  int pairs, at_once, tiles_of_pair;
};
struct Tile {
  int pair, number;  // the number-th largest of its pair
};
__device__ inline Tile tile_of(const TileOrder& order, int t) {
  const int first_pair = t / (order.at_once * order.tiles_of_pair) * order.at_once;
  const int pairs = min(order.at_once, order.pairs - first_pair);
  const int within = t - first_pair * order.tiles_of_pair;
  return {first_pair + within % pairs, within / pairs};
}

// -------------------------------------------------------------------------------------------------- on the host

template <typename Kernel>
cudaError_t allow_shared_memory(Kernel kernel, size_t bytes) {
  return cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
}

// The driver's function that makes maps, without linking the driver.
inline decltype(&cuTensorMapEncodeTiled) map_encoder() {
  static const auto encoder = [] {
    void* function = nullptr;
    cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
    if (cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &function, 12000, cudaEnableDefault, &found) !=
            cudaSuccess ||
        found != cudaDriverEntryPointSuccess)
      function = nullptr;
    return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(function);
  }();
  return encoder;
}

// Boxes of `box_rows` rows and 64 columns of [segments, rows, columns], 16-bit numbers.
template <typename T>
bool make_map(CUtensorMap& map, const void* data, int64_t columns, int64_t rows, int64_t segments, int64_t stride,
              int box_rows) {
  const std::array<cuuint64_t, 3> sizes{static_cast<cuuint64_t>(columns), static_cast<cuuint64_t>(rows),
                                        static_cast<cuuint64_t>(segments)};
  const std::array<cuuint64_t, 2> strides{sizeof(T) * static_cast<cuuint64_t>(columns),
                                          sizeof(T) * static_cast<cuuint64_t>(stride)};
  const std::array<cuuint32_t, 3> box{kHalf, static_cast<cuuint32_t>(box_rows), 1}, steps{1, 1, 1};
  const auto type = std::is_same_v<T, __half> ? CU_TENSOR_MAP_DATA_TYPE_FLOAT16 : CU_TENSOR_MAP_DATA_TYPE_BFLOAT16;
  return map_encoder()(&map, type, 3, const_cast<void*>(data), sizes.data(), strides.data(), box.data(), steps.data(),
                       CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_256B,
                       CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE) == CUDA_SUCCESS;
}

inline int multiprocessors() {
  int device = 0, count = 0;
  cudaGetDevice(&device);
  cudaDeviceGetAttribute(&count, cudaDevAttrMultiProcessorCount, device);
  return count;
}

// One block on each multiprocessor, with Memory on 1,024 bytes in shared memory.
template <typename Memory, typename Kernel, typename Maps, typename Arguments>
cudaError_t launch_persistent(Kernel kernel, int threads, const Maps& maps, const Arguments& a, cudaStream_t stream) {
  constexpr size_t kBytes = sizeof(Memory) + 1024;
  static_assert(kBytes <= 227 * 1024);
  if (const cudaError_t status = allow_shared_memory(kernel, kBytes); status != cudaSuccess) return status;
  kernel<<<std::min(a.tiles, multiprocessors()), threads, kBytes, stream>>>(maps, a);
  return cudaGetLastError();
}

template <typename F>
cudaError_t dispatch_hopper(ElementType type, int64_t head_dim, F&& f) {
  const auto with_type = [&](auto* element) {
    if (head_dim == 64) return f(element, std::integral_constant<int, 64>());
    if (head_dim == 128) return f(element, std::integral_constant<int, 128>());
    return cudaErrorInvalidValue;
  };
  if (type == ElementType::kBFloat16) return with_type(static_cast<__nv_bfloat16*>(nullptr));
  if (type == ElementType::kFloat16) return with_type(static_cast<__half*>(nullptr));
  return cudaErrorInvalidValue;
}

}  // namespace hici::ops::cuda
