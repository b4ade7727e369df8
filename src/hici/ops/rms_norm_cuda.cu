// SPDX-License-Identifier: Apache-2.0
// RMSNorm: one block for each row in the forward; in the backward a block walks many rows and keeps its share of
// dweight in shared memory, so that dweight costs one atomic for each block and column.
#include "hici/ops/cuda_types.cuh"

#include <algorithm>

namespace hici::ops::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kWarps = kThreads / 32;

template <typename A>
__device__ A block_sum(A value) {
  __shared__ A partial[kWarps];
  for (int offset = 16; offset > 0; offset /= 2) value += __shfl_down_sync(0xffffffffu, value, offset);
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  A total = 0;
  for (int i = 0; i < kWarps; ++i) total += partial[i];
  __syncthreads();  // before the next call writes `partial` again
  return total;
}

template <typename T>
__global__ void rms_norm_forward(RmsNormShape shape, const T* x, const T* weight, Wide<T> eps, T* y, float* rstd) {
  using A = Wide<T>;
  const T* row = x + blockIdx.x * shape.width;
  A sum = 0;
  for (int64_t i = threadIdx.x; i < shape.width; i += kThreads) sum += static_cast<A>(row[i]) * static_cast<A>(row[i]);
  const A scale = A(1) / sqrt(block_sum(sum) / static_cast<A>(shape.width) + eps);
  if (threadIdx.x == 0) rstd[blockIdx.x] = static_cast<float>(scale);
  for (int64_t i = threadIdx.x; i < shape.width; i += kThreads) {
    y[blockIdx.x * shape.width + i] = static_cast<T>(static_cast<A>(row[i]) * scale * static_cast<A>(weight[i]));
  }
}

template <typename T>
__global__ void rms_norm_backward(RmsNormShape shape, const T* dy, const T* x, const T* weight, const float* rstd,
                                  T* dx, float* dweight) {
  using A = Wide<T>;
  extern __shared__ float dweight_part[];
  for (int64_t i = threadIdx.x; i < shape.width; i += kThreads) dweight_part[i] = 0;
  for (int64_t row = blockIdx.x; row < shape.rows; row += gridDim.x) {
    const int64_t base = row * shape.width;
    const A scale = static_cast<A>(rstd[row]);
    A along = 0;
    for (int64_t i = threadIdx.x; i < shape.width; i += kThreads) {
      const A normed = static_cast<A>(x[base + i]) * scale, upstream = static_cast<A>(dy[base + i]);
      along += upstream * static_cast<A>(weight[i]) * normed;
      dweight_part[i] += static_cast<float>(upstream * normed);  // each column belongs to one thread
    }
    along = block_sum(along) / static_cast<A>(shape.width);
    for (int64_t i = threadIdx.x; i < shape.width; i += kThreads) {
      const A normed = static_cast<A>(x[base + i]) * scale;
      dx[base + i] =
          static_cast<T>(scale * (static_cast<A>(dy[base + i]) * static_cast<A>(weight[i]) - normed * along));
    }
  }
  for (int64_t i = threadIdx.x; i < shape.width; i += kThreads) atomicAdd(dweight + i, dweight_part[i]);
}

}  // namespace

cudaError_t launch_rms_norm_forward(ElementType type, RmsNormShape shape, const void* x, const void* weight, double eps,
                                    void* y, float* rstd, cudaStream_t stream) {
  return dispatch(type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    rms_norm_forward<T><<<static_cast<unsigned>(shape.rows), kThreads, 0, stream>>>(
        shape, static_cast<const T*>(x), static_cast<const T*>(weight), static_cast<Wide<T>>(eps), static_cast<T*>(y),
        rstd);
    return cudaGetLastError();
  });
}

cudaError_t launch_rms_norm_backward(ElementType type, RmsNormShape shape, const void* dy, const void* x,
                                     const void* weight, const float* rstd, void* dx, float* dweight,
                                     cudaStream_t stream) {
  constexpr int64_t kMostBlocks = 528;  // four for each multiprocessor of a Hopper card
  const auto blocks = static_cast<unsigned>(std::min(shape.rows, kMostBlocks));
  const size_t shared_bytes = static_cast<size_t>(shape.width) * sizeof(float);
  return dispatch(type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    // Widths above 12,288 need more than the 48 KiB that a block gets unasked.
    const cudaError_t status = cudaFuncSetAttribute(rms_norm_backward<T>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                                    static_cast<int>(shared_bytes));
    if (status != cudaSuccess) return status;
    rms_norm_backward<T>
        <<<blocks, kThreads, shared_bytes, stream>>>(shape, static_cast<const T*>(dy), static_cast<const T*>(x),
                                                     static_cast<const T*>(weight), rstd, static_cast<T*>(dx), dweight);
    return cudaGetLastError();
  });
}

}  // namespace hici::ops::cuda
