// SPDX-License-Identifier: Apache-2.0
// NF4 codes to values. A thread reads 8 bytes of codes and writes 16 values, a quarter of a block; the kernel is bound
// by memory: half a byte in and one value out for each.
#include "hici/ops/nf4_cuda.h"

#include "hici/ops/cuda_types.cuh"
#include "hici/ops/nf4_codes.h"

namespace hici::ops::cuda {
namespace {

constexpr int kThreads = 256, kBytes = 8, kValues = 2 * kBytes, kThreadsPerBlock = 4;

struct Codes {
  float at[16];
};

template <typename T>
__global__ void unpack_nf4(int64_t pieces, Codes codes, const uint8_t* packed, const float* scales, T* out) {
  // In shared memory: 16 words are in 16 banks, so any mixture of codes is read at once.
  __shared__ float table[16];
  if (threadIdx.x < 16) table[threadIdx.x] = codes.at[threadIdx.x];
  __syncthreads();
  const int64_t piece = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (piece >= pieces) return;
  const float scale = scales[piece / kThreadsPerBlock];
  const auto bytes = load_pack<uint8_t, kBytes>(packed + piece * kBytes);
  constexpr int kPack = kPackSize<T>;
#pragma unroll
  for (int first = 0; first < kValues; first += kPack) {
    Pack<T, kPack> values;
#pragma unroll
    for (int i = 0; i < kPack; i += 2) {
      const int pair = bytes.at[(first + i) / 2];
      values.at[i] = static_cast<T>(table[pair >> 4] * scale);
      values.at[i + 1] = static_cast<T>(table[pair & 15] * scale);
    }
    store_pack(out + piece * kValues + first, values);
  }
}

}  // namespace

cudaError_t launch_unpack_nf4(ElementType type, int64_t blocks, const void* codes, const float* scales, void* out,
                              cudaStream_t stream) {
  const int64_t pieces = blocks * kThreadsPerBlock;
  if (pieces == 0) return cudaSuccess;
  Codes table;
  for (int i = 0; i < 16; ++i) table.at[i] = kNf4Codes[static_cast<size_t>(i)];
  return dispatch(type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    unpack_nf4<T><<<static_cast<unsigned>((pieces + kThreads - 1) / kThreads), kThreads, 0, stream>>>(
        pieces, table, static_cast<const uint8_t*>(codes), scales, static_cast<T*>(out));
    return cudaGetLastError();
  });
}

}  // namespace hici::ops::cuda
