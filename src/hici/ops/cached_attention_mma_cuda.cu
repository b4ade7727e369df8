// SPDX-License-Identifier: Apache-2.0
// Decode attention on tensor cores, for 16-bit types and heads of 64 or 128: 16 rows of the cache are the left operand
// of the products, the query heads that share a k/v head are the eight columns of the right one. A warp has rows of its
// own, which it copies to shared memory ahead of use and nobody else reads, so warps wait for each other only at the
// end.
#include "hici/ops/cuda_copies.cuh"
#include "hici/ops/cuda_mma.cuh"
#include "hici/ops/cuda_types.cuh"
#include "hici/ops/decode_attention_rows.cuh"

#include <algorithm>

namespace hici::ops::cuda {
namespace {

constexpr int kWarps = 4;
constexpr int kTileRows = 16;
constexpr int kHeads = 8;               // columns of the right operand; unused ones are zero
constexpr int kStages = 3;              // tiles of a warp that are under way or worked on
constexpr int64_t kBlocksWanted = 264;  // two per SM of a Hopper card: as many as fit its shared memory
constexpr int64_t kRowsPerSplit = 64;
constexpr float kLog2E = 1.4426950408889634f, kLn2 = 0.6931471805599453f;

// The transpose of an 8 x 8 matrix of 16-bit numbers of which lane l holds two neighbours of row l / 4.
__device__ __forceinline__ unsigned transposed(unsigned matrix) {
  unsigned to;
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(to) : "r"(matrix));
  return to;
}

template <typename T>
__device__ __forceinline__ unsigned pair_of(float first, float second);
template <>
__device__ __forceinline__ unsigned pair_of<__nv_bfloat16>(float first, float second) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
  return *reinterpret_cast<const unsigned*>(&pair);
}
template <>
__device__ __forceinline__ unsigned pair_of<__half>(float first, float second) {
  const __half2 pair = __floats2half2_rn(first, second);
  return *reinterpret_cast<const unsigned*>(&pair);
}

// kTileRows rows of keys, then as many of values, in packs of 16 bytes. Pack p of row r lies at p ^ (r % 8): the eight
// rows that one matrix load reads are then in different banks.
template <typename T, int kDim>
struct Tile {
  static constexpr int kPacks = kDim / kPackSize<T>, kElements = 2 * kTileRows * kDim;
  T* data;

  __device__ __forceinline__ T* at(bool is_value, int row, int pack) const {
    return data + ((is_value ? kTileRows : 0) + row) * kDim + (pack ^ (row % 8)) * kPackSize<T>;
  }
};

// The rows of one warp on their way to its shared memory.
template <typename T, int kDim>
struct TileCopies {
  using WarpTile = Tile<T, kDim>;
  const T *k, *v;  // of row 0
  int64_t row_stride;
  T* shared;  // [kStages] tiles
  int lane;

  __device__ __forceinline__ WarpTile tile(int stage) const { return {shared + stage * WarpTile::kElements}; }

  // Rows `base` on. Those at `last` and beyond: any row, without weight.
  __device__ __forceinline__ void fetch(int64_t base, int64_t last, int stage) const {
    if (base < last) {
      const WarpTile to = tile(stage);
#pragma unroll
      for (int i = 0; i < kTileRows * WarpTile::kPacks / 32; ++i) {
        const int row = (i * 32 + lane) / WarpTile::kPacks, pack = (i * 32 + lane) % WarpTile::kPacks;
        const int64_t from = min(base + row, last - 1) * row_stride + pack * kPackSize<T>;
        copy_async(to.at(false, row, pack), k + from);
        copy_async(to.at(true, row, pack), v + from);
      }
    }
    commit_copies();
  }
};

// The online softmax of a warp's rows. Lane l has query heads 2 (l % 4) and the next one; scores in units of log 2.
template <typename T, int kDim>
struct WarpSoftmax {
  static constexpr int kSlices = kDim / 16;
  unsigned query[kSlices][2];  // right operand: 16 elements of a head at a time
  float accumulator[kSlices][4], max_score[2], denominator[2];

  __device__ __forceinline__ WarpSoftmax() {
#pragma unroll
    for (int i = 0; i < kSlices; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) accumulator[i][j] = 0;
    max_score[0] = max_score[1] = kEmptyMax;
    denominator[0] = denominator[1] = 0;
  }

  __device__ __forceinline__ void load_query(const T* q, int heads, int lane) {
#pragma unroll
    for (int i = 0; i < kSlices; ++i)
#pragma unroll
      for (int j = 0; j < 2; ++j)
        query[i][j] = lane / 4 < heads
                          ? *reinterpret_cast<const unsigned*>(q + lane / 4 * kDim + i * 16 + j * 8 + lane % 4 * 2)
                          : 0u;
  }

  // `count` rows of the tile have a weight.
  __device__ __forceinline__ void add(const Tile<T, kDim>& tile, int64_t count, float scale, int lane) {
    float score[4] = {0, 0, 0, 0};
    const int row = lane % 8 + lane / 8 % 2 * 8, pack = lane / 16;
#pragma unroll
    for (int i = 0; i < kSlices; ++i) {
      unsigned keys[4];
      load_matrices<false>(keys, tile.at(false, row, i * 2 + pack));
      multiply_add<T>(score, keys, query[i][0], query[i][1]);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) score[i] = lane / 4 + i / 2 * 8 < count ? score[i] * scale : kEmptyMax;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      float best = fmaxf(max_score[h], fmaxf(score[h], score[h + 2]));
#pragma unroll
      for (int step = 4; step < 32; step *= 2) best = fmaxf(best, __shfl_xor_sync(0xffffffffu, best, step));
      const float shrink = exp2f(max_score[h] - best);
      max_score[h] = best;
      score[h] = exp2f(score[h] - best);
      score[h + 2] = exp2f(score[h + 2] - best);
      denominator[h] = denominator[h] * shrink + score[h] + score[h + 2];
#pragma unroll
      for (int i = 0; i < kSlices; ++i) {
        accumulator[i][h] *= shrink;
        accumulator[i][h + 2] *= shrink;
      }
    }
    const unsigned first = transposed(pair_of<T>(score[0], score[1]));
    const unsigned second = transposed(pair_of<T>(score[2], score[3]));
    const int value_row = lane % 8 + lane / 16 * 8, value_pack = lane / 8 % 2;
#pragma unroll
    for (int i = 0; i < kSlices; ++i) {
      unsigned values[4];
      load_matrices<true>(values, tile.at(true, value_row, i * 2 + value_pack));
      multiply_add<T>(accumulator[i], values, first, second);
    }
  }

  // The denominators of all rows, in every lane.
  __device__ __forceinline__ void finish() {
#pragma unroll
    for (int h = 0; h < 2; ++h)
#pragma unroll
      for (int step = 4; step < 32; step *= 2) denominator[h] += __shfl_xor_sync(0xffffffffu, denominator[h], step);
  }
};

// What the warps of a block have of each head, in shared memory that the copies are done with.
template <int kDim>
struct WarpPartials {
  float max_score[kWarps][kHeads], denominator[kWarps][kHeads];
  float accumulator[kWarps][kHeads][kDim + 1];

  template <typename T>
  __device__ __forceinline__ void put(const WarpSoftmax<T, kDim>& softmax, int warp, int lane) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      const int head = lane % 4 * 2 + h;
      if (lane / 4 == 0) {
        max_score[warp][head] = softmax.max_score[h];
        denominator[warp][head] = softmax.denominator[h];
      }
#pragma unroll
      for (int i = 0; i < WarpSoftmax<T, kDim>::kSlices; ++i) {
        accumulator[warp][head][i * 16 + lane / 4] = softmax.accumulator[i][h];
        accumulator[warp][head][i * 16 + lane / 4 + 8] = softmax.accumulator[i][h + 2];
      }
    }
  }

  __device__ __forceinline__ void merge_into(float* partial, float* partial_lse, int head) const {
    float best = kEmptyMax, sum = 0, weights[kWarps];
#pragma unroll
    for (int w = 0; w < kWarps; ++w) best = fmaxf(best, max_score[w][head]);
#pragma unroll
    for (int w = 0; w < kWarps; ++w) {
      weights[w] = exp2f(max_score[w][head] - best);
      sum += denominator[w][head] * weights[w];
    }
    for (int d = static_cast<int>(threadIdx.x); d < kDim; d += kWarps * 32) {
      float value = 0;
#pragma unroll
      for (int w = 0; w < kWarps; ++w) value += accumulator[w][head][d] * weights[w];
      partial[d] = sum > 0 ? value / sum : 0.0f;
    }
    if (threadIdx.x == 0) *partial_lse = sum > 0 ? (best + __log2f(sum)) * kLn2 : kEmptyMax;
  }
};

template <typename T, int kDim>
constexpr size_t shared_bytes() {
  return std::max(sizeof(T) * Tile<T, kDim>::kElements * kStages * kWarps, sizeof(WarpPartials<kDim>));
}

// Each block has a split of the rows, one k/v head and its query heads. Rows of several distances are read distance by
// distance, with the query that is rotated for each.
template <typename T, int kDim>
__global__ void __launch_bounds__(kWarps * 32, 2) decode_partial_mma(DecodeShape shape, DecodePointers p) {
  extern __shared__ __align__(16) unsigned char shared[];
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t split = blockIdx.x, kv_head = blockIdx.y, b = blockIdx.z, group = shape.heads / shape.kv_heads;
  const int64_t head = b * shape.heads + kv_head * group, length = p.lengths[b];
  const Rows block = rows_of_split(shape, length, split);
  const TileCopies<T, kDim> copies{static_cast<const T*>(p.k) + b * shape.k_stride + kv_head * kDim,
                                   static_cast<const T*>(p.v) + b * shape.v_stride + kv_head * kDim,
                                   shape.kv_heads * kDim,
                                   reinterpret_cast<T*>(shared) + warp * kStages * Tile<T, kDim>::kElements, lane};
  const float scale = static_cast<float>(p.scale) * kLog2E;
  WarpSoftmax<T, kDim> softmax;
  const int64_t query_chunk = (length - 1) / shape.chunk_len;
  for (int64_t distance = 0; distance < shape.distances; ++distance) {
    const Rows rows = rows_at(distance, shape, query_chunk, block);
    if (!rows.any()) continue;
    softmax.load_query(static_cast<const T*>(p.q) + (distance * shape.batch * shape.heads + head) * kDim,
                       static_cast<int>(group), lane);
    constexpr int64_t kStep = kWarps * kTileRows;
    int64_t base = rows.first + warp * kTileRows;
#pragma unroll
    for (int stage = 0; stage < kStages - 1; ++stage) copies.fetch(base + stage * kStep, rows.last, stage);
    for (int stage = 0; base < rows.last; base += kStep, stage = (stage + 1) % kStages) {
      wait_for_copies<kStages - 2>();
      __syncwarp();  // what the other lanes copied is there too, and they are done with the tile that is filled next
      copies.fetch(base + (kStages - 1) * kStep, rows.last, (stage + kStages - 1) % kStages);
      softmax.add(copies.tile(stage), rows.last - base, scale, lane);
    }
    wait_for_copies<0>();
    __syncwarp();
  }
  softmax.finish();
  __syncthreads();
  auto& partials = *reinterpret_cast<WarpPartials<kDim>*>(shared);
  partials.put(softmax, warp, lane);
  __syncthreads();
  for (int h = 0; h < group; ++h) {
    const int64_t place = (head + h) * shape.splits + split;
    partials.merge_into(p.partial + place * kDim, p.partial_lse + place, h);
  }
}

template <typename T, int kDim>
cudaError_t launch(const DecodeShape& shape, const DecodePointers& p, cudaStream_t stream) {
  constexpr size_t bytes = shared_bytes<T, kDim>();
  // Of the current device, which may be another one each time. It costs no synchronisation.
  const cudaError_t status = cudaFuncSetAttribute(decode_partial_mma<T, kDim>,
                                                  cudaFuncAttributeMaxDynamicSharedMemorySize, static_cast<int>(bytes));
  if (status != cudaSuccess) return status;
  const dim3 grid(static_cast<unsigned>(shape.splits), static_cast<unsigned>(shape.kv_heads),
                  static_cast<unsigned>(shape.batch));
  decode_partial_mma<T, kDim><<<grid, kWarps * 32, bytes, stream>>>(shape, p);
  return cudaGetLastError();
}

template <typename T>
cudaError_t launch_for_dim(const DecodeShape& shape, const DecodePointers& p, cudaStream_t stream) {
  return shape.head_dim == 64 ? launch<T, 64>(shape, p, stream) : launch<T, 128>(shape, p, stream);
}

}  // namespace

bool decode_uses_mma(ElementType type, const DecodeShape& shape) {
  return (type == ElementType::kBFloat16 || type == ElementType::kFloat16) &&
         (shape.head_dim == 64 || shape.head_dim == 128) && shape.heads / shape.kv_heads <= kHeads;
}

int64_t decode_splits_mma(int64_t batch, int64_t kv_heads, int64_t rows) {
  const int64_t most = std::max(int64_t{1}, kBlocksWanted / (batch * kv_heads));
  return std::clamp((rows + kRowsPerSplit - 1) / kRowsPerSplit, int64_t{1}, most);
}

cudaError_t launch_decode_partial_mma(ElementType type, const DecodeShape& shape, const DecodePointers& p,
                                      cudaStream_t stream) {
  return type == ElementType::kBFloat16 ? launch_for_dim<__nv_bfloat16>(shape, p, stream)
                                        : launch_for_dim<__half>(shape, p, stream);
}

}  // namespace hici::ops::cuda
