// SPDX-License-Identifier: Apache-2.0
// Linear layers over at most eight rows. The weights are the left operand of the tensor cores' products, 16 rows of
// them a block; the rows of x are the eight columns of the right operand. Every weight is read once, from device memory
// to registers: a thread's 16 bytes are eight neighbouring columns, which is as good an order of the summands as any
// other if x is read in the same one. The warps of a block have different columns, and add their sums at the end.
#include "hici/ops/cuda_mma.cuh"
#include "hici/ops/cuda_types.cuh"
#include "hici/ops/few_rows_linear_cuda.h"

#include <algorithm>

namespace hici::ops::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kTileRows = 16;
constexpr int kUnrolled = 2;  // steps of kFewRowsColumns whose loads are under way together: 4 KiB a warp

// Read once: not kept in the first cache, and the 256 bytes around it come to the second one, for the warps beside.
__device__ __forceinline__ uint4 load_once(const void* from) {
  uint4 to;
  asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(to.x), "=r"(to.y), "=r"(to.z), "=r"(to.w)
               : "l"(from));
  return to;
}

// kFewRowsColumns columns of two rows of the weight and of a row of x, as one thread has them: 8 columns of each half.
struct Step {
  uint4 upper[2], lower[2], x[2];
};

// Where a thread reads: lane l has rows l / 4 and l / 4 + 8 of a tile, row l / 4 of x, and columns 8 (l % 4) of a half.
template <typename T>
struct Reader {
  const T *upper, *lower, *x;
  bool has_x;

  __device__ __forceinline__ void load(Step& step, int64_t column) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t at = column + half * (kFewRowsColumns / 2);
      step.upper[half] = load_once(upper + at);
      step.lower[half] = load_once(lower + at);
      step.x[half] = has_x ? *reinterpret_cast<const uint4*>(x + at) : uint4{0, 0, 0, 0};
    }
  }
};

template <typename T>
__device__ __forceinline__ void multiply(float (&sum)[4], const Step& step) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const uint4 &upper = step.upper[half], &lower = step.lower[half], &x = step.x[half];
    multiply_add<T>(sum, {upper.x, lower.x, upper.y, lower.y}, x.x, x.y);
    multiply_add<T>(sum, {upper.z, lower.z, upper.w, lower.w}, x.z, x.w);
  }
}

// scale low b^T of one output.
template <typename T>
__device__ float adapter_sum(const FewRowsLayer& layer, int64_t row, int64_t n) {
  const T* low = static_cast<const T*>(layer.low) + row * layer.low_stride;
  const T* b = static_cast<const T*>(layer.b) + n * layer.rank;
  float sum = 0;
  for (int64_t j = 0; j < layer.rank; ++j) sum += static_cast<float>(low[j]) * static_cast<float>(b[j]);
  return layer.scale * sum;
}

__host__ __device__ int64_t num_tiles(const FewRowsLayer& layer) { return (layer.width + kTileRows - 1) / kTileRows; }

// A block for each tile of each layer.
template <typename T>
__global__ void __launch_bounds__(kWarps * 32, 3) few_rows_linears(const FewRowsLayers layers) {
  int64_t tile = blockIdx.x;
  int which = 0;
  while (tile >= num_tiles(layers.at[which])) tile -= num_tiles(layers.at[which++]);
  const FewRowsLayer& layer = layers.at[which];

  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t first = tile * kTileRows, mine = lane % 4 * 8;
  auto weight_row = [&](int64_t row) {  // beyond the end: any row, which is not written
    return static_cast<const T*>(layer.weight) + min(first + row, layer.width - 1) * layers.in + mine;
  };
  const bool has_x = lane / 4 < layers.rows;
  const Reader<T> reader{weight_row(lane / 4), weight_row(lane / 4 + 8),
                         static_cast<const T*>(layers.x) + (has_x ? lane / 4 : 0) * layers.in + mine, has_x};

  float sum[4] = {0, 0, 0, 0};
  constexpr int64_t kStride = kWarps * kFewRowsColumns;
  int64_t column = warp * kFewRowsColumns;
  for (; column + (kUnrolled - 1) * kStride < layers.in; column += kUnrolled * kStride) {
    Step steps[kUnrolled];
#pragma unroll
    for (int i = 0; i < kUnrolled; ++i) reader.load(steps[i], column + i * kStride);
#pragma unroll
    for (int i = 0; i < kUnrolled; ++i) multiply<T>(sum, steps[i]);
  }
  for (; column < layers.in; column += kStride) {
    Step step;
    reader.load(step, column);
    multiply<T>(sum, step);
  }

  // Lane l has of each half of the tile row l / 4 and rows 2 (l % 4) and the next one of x.
  __shared__ float sums[kWarps][kTileRows][kMaxFewRows + 1];
#pragma unroll
  for (int i = 0; i < 4; ++i) sums[warp][lane / 4 + i / 2 * 8][lane % 4 * 2 + i % 2] = sum[i];
  __syncthreads();
  const int n = static_cast<int>(threadIdx.x) % kTileRows, row = static_cast<int>(threadIdx.x) / kTileRows;
  if (row >= layers.rows || first + n >= layer.width) return;
  float total = 0;
#pragma unroll
  for (int w = 0; w < kWarps; ++w) total += sums[w][n][row];
  if (layer.rank > 0) total += adapter_sum<T>(layer, row, first + n);
  static_cast<T*>(layer.out)[row * layer.width + first + n] = static_cast<T>(total);
}

template <typename T>
cudaError_t launch(const FewRowsLayers& layers, cudaStream_t stream) {
  int64_t tiles = 0;
  for (int64_t i = 0; i < layers.count; ++i) tiles += num_tiles(layers.at[i]);
  few_rows_linears<T><<<static_cast<unsigned>(tiles), kWarps * 32, 0, stream>>>(layers);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launch_few_rows_linears(ElementType type, const FewRowsLayers& layers, cudaStream_t stream) {
  if (layers.rows > kMaxFewRows || layers.count < 1 || layers.count > kMaxFewRowsLayers ||
      layers.in % kFewRowsColumns != 0)
    return cudaErrorInvalidValue;
  switch (type) {
    case ElementType::kBFloat16:
      return launch<__nv_bfloat16>(layers, stream);
    case ElementType::kFloat16:
      return launch<__half>(layers, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace hici::ops::cuda
