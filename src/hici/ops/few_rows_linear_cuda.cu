// SPDX-License-Identifier: Apache-2.0
// Linear layers over at most eight rows. The weights are the left operand of the tensor cores' products, 16 rows of
// them a block; the rows of x are the eight columns of the right operand. Every weight is read once, from device memory
// to registers: a thread's 16 bytes are neighbouring columns, which is as good an order of the summands as any other if
// x is read in the same one. The warps of a block have different columns, and add their sums at the end.
#include "hici/ops/cuda_mma.cuh"
#include "hici/ops/cuda_types.cuh"
#include "hici/ops/few_rows_linear_cuda.h"

#include <algorithm>
#include <type_traits>

namespace hici::ops::cuda {
namespace {

constexpr int kWarps = 8;
constexpr int kTileRows = 16;
constexpr int kUnrolled = 2;  // steps of kFewRowsBytes whose loads are under way together: 4 KiB a warp

// Read once: not kept in the first cache, and the 256 bytes around it come to the second one, for the warps beside.
__device__ __forceinline__ uint4 load_once(const void* from) {
  uint4 to;
  asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(to.x), "=r"(to.y), "=r"(to.z), "=r"(to.w)
               : "l"(from));
  return to;
}

// kFewRowsBytes of two rows of the weight and of a row of x, as one thread has them: 16 bytes of each half.
struct Step {
  uint4 upper[2], lower[2], x[2];
};

// Where a thread reads: lane l has rows l / 4 and l / 4 + 8 of a tile, row l / 4 of x, and bytes 16 (l % 4) of a half.
struct Reader {
  const unsigned char *upper, *lower, *x;
  bool has_x;

  __device__ __forceinline__ void load(Step& step, int64_t byte) const {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int64_t at = byte + half * (kFewRowsBytes / 2);
      step.upper[half] = load_once(upper + at);
      step.lower[half] = load_once(lower + at);
      step.x[half] = has_x ? *reinterpret_cast<const uint4*>(x + at) : uint4{0, 0, 0, 0};
    }
  }
};

// The products of float8_e4m3fn: those of twice as many columns, which a lane has in the same registers.
struct Fp8 {};

template <typename T>
__device__ __forceinline__ void multiply_tile(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1) {
  if constexpr (!std::is_same_v<T, Fp8>) {
    multiply_add<T>(sum, a, b0, b1);
  } else {
#if __CUDA_ARCH__ >= 890
    asm("mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    __trap();  // no card of this kind is let in: why_not_fp8() of ops/fp8.h
#endif
  }
}

template <typename T>
__device__ __forceinline__ void multiply(float (&sum)[4], const Step& step) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const uint4 &upper = step.upper[half], &lower = step.lower[half], &x = step.x[half];
    multiply_tile<T>(sum, {upper.x, lower.x, upper.y, lower.y}, x.x, x.y);
    multiply_tile<T>(sum, {upper.z, lower.z, upper.w, lower.w}, x.z, x.w);
  }
}

// scale low b^T of one output.
template <typename T>
__device__ float adapter_sum(const FewRowsLayer& layer, int64_t row, int64_t n) {
  const T* low = static_cast<const T*>(layer.low) + row * layer.rank;
  const T* b = static_cast<const T*>(layer.b) + n * layer.rank;
  float sum = 0;
  for (int64_t j = 0; j < layer.rank; ++j) sum += static_cast<float>(low[j]) * static_cast<float>(b[j]);
  return layer.scale * sum;
}

__host__ __device__ int64_t num_tiles(const FewRowsLayer& layer) { return (layer.width + kTileRows - 1) / kTileRows; }

// A block for each tile of each layer. TIn: that of x and the weights.
template <typename T, typename TIn>
__global__ void __launch_bounds__(kWarps * 32, 3) few_rows_linears(const FewRowsLayers layers) {
  int64_t tile = blockIdx.x;
  int which = 0;
  while (tile >= num_tiles(layers.at[which])) tile -= num_tiles(layers.at[which++]);
  const FewRowsLayer& layer = layers.at[which];

  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t first = tile * kTileRows, bytes = layers.in * (std::is_same_v<TIn, Fp8> ? 1 : 2), mine = lane % 4 * 16;
  auto weight_row = [&](int64_t row) {  // beyond the end: any row, which is not written
    return static_cast<const unsigned char*>(layer.weight) + min(first + row, layer.width - 1) * bytes + mine;
  };
  const bool has_x = lane / 4 < layers.rows;
  const Reader reader{weight_row(lane / 4), weight_row(lane / 4 + 8),
                      static_cast<const unsigned char*>(layers.x) + (has_x ? lane / 4 : 0) * bytes + mine, has_x};

  float sum[4] = {0, 0, 0, 0};
  constexpr int64_t kStride = kWarps * kFewRowsBytes;
  int64_t byte = warp * kFewRowsBytes;
  for (; byte + (kUnrolled - 1) * kStride < bytes; byte += kUnrolled * kStride) {
    Step steps[kUnrolled];
#pragma unroll
    for (int i = 0; i < kUnrolled; ++i) reader.load(steps[i], byte + i * kStride);
#pragma unroll
    for (int i = 0; i < kUnrolled; ++i) multiply<TIn>(sum, steps[i]);
  }
  for (; byte < bytes; byte += kStride) {
    Step step;
    reader.load(step, byte);
    multiply<TIn>(sum, step);
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
  if constexpr (std::is_same_v<TIn, Fp8>) total *= layers.x_scale[row] * layer.channel_scale[first + n];
  if (layer.rank > 0) total += adapter_sum<T>(layer, row, first + n);
  static_cast<T*>(layer.out)[row * layer.width + first + n] = static_cast<T>(total);
}

template <typename T>
cudaError_t launch(const FewRowsLayers& layers, cudaStream_t stream) {
  int64_t tiles = 0;
  for (int64_t i = 0; i < layers.count; ++i) tiles += num_tiles(layers.at[i]);
  const auto grid = static_cast<unsigned>(tiles);
  if (layers.x_scale == nullptr) {
    few_rows_linears<T, T><<<grid, kWarps * 32, 0, stream>>>(layers);
  } else {
    few_rows_linears<T, Fp8><<<grid, kWarps * 32, 0, stream>>>(layers);
  }
  return cudaGetLastError();
}

}  // namespace

cudaError_t launch_few_rows_linears(ElementType type, const FewRowsLayers& layers, cudaStream_t stream) {
  const int64_t bytes = layers.in * (layers.x_scale == nullptr ? 2 : 1);
  if (layers.rows > kMaxFewRows || layers.count < 1 || layers.count > kMaxFewRowsLayers || bytes % kFewRowsBytes != 0)
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
