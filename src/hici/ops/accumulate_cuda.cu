// SPDX-License-Identifier: Apache-2.0
// Adds 16-bit gradients to float32 sums: every block adds one chunk of one pair, which it finds in the kernel's
// arguments.
#include "hici/ops/accumulate_cuda.h"

#include "hici/ops/cuda_types.cuh"

namespace hici::ops::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kPack = 8;  // 16-bit elements in 16 bytes
constexpr int64_t kChunk = int64_t{4} * kThreads * kPack;

// The last pair whose first block is at most `block`.
__device__ int pair_of(const AccumulateList& list, unsigned block) {
  int low = 0, high = list.pairs - 1;
  while (low < high) {
    const int middle = (low + high + 1) / 2;
    if (list.first_block[middle] <= block) {
      low = middle;
    } else {
      high = middle - 1;
    }
  }
  return low;
}

template <typename T, int N>
__device__ void add_chunk(const T* from, float* to, int64_t begin, int64_t end) {
  for (int64_t i = begin + threadIdx.x * N; i < end; i += kThreads * N) {
    const Pack<T, N> gradient = load_pack<T, N>(from + i);
    Pack<float, N> sum = load_pack<float, N>(to + i);
#pragma unroll
    for (int j = 0; j < N; ++j) sum.at[j] += static_cast<float>(gradient.at[j]);
    store_pack(to + i, sum);
  }
}

template <typename T>
__global__ void __launch_bounds__(kThreads) accumulate(const __grid_constant__ AccumulateList list) {
  const int pair = pair_of(list, blockIdx.x);
  const T* from = static_cast<const T*>(list.from[pair]);
  float* to = list.to[pair];
  const int64_t begin = static_cast<int64_t>(blockIdx.x - list.first_block[pair]) * kChunk;
  const int64_t end = begin + kChunk < list.count[pair] ? begin + kChunk : list.count[pair];
  const int64_t packed_end = is_packable(from) && is_packable(to) ? end - (end - begin) % kPack : begin;
  add_chunk<T, kPack>(from, to, begin, packed_end);
  add_chunk<T, 1>(from, to, packed_end, end);
}

}  // namespace

void AccumulateList::add(const void* gradient, float* sum, int64_t elements) {
  from[pairs] = gradient;
  to[pairs] = sum;
  count[pairs] = elements;
  first_block[pairs] = blocks;
  blocks += static_cast<unsigned>((elements + kChunk - 1) / kChunk);
  ++pairs;
}

cudaError_t launch_accumulate(ElementType type, const AccumulateList& list, cudaStream_t stream) {
  if (list.blocks == 0) return cudaSuccess;
  switch (type) {
    case ElementType::kBFloat16:
      accumulate<__nv_bfloat16><<<list.blocks, kThreads, 0, stream>>>(list);
      return cudaGetLastError();
    case ElementType::kFloat16:
      accumulate<__half><<<list.blocks, kThreads, 0, stream>>>(list);
      return cudaGetLastError();
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace hici::ops::cuda
