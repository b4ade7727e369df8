// SPDX-License-Identifier: Apache-2.0
// The adapter's part of a linear layer's backward: both products with the gradient of the output, in one pass over it.
// That gradient is large and everything else is thin. A block has some rows and kColumns columns of it and writes its
// part of both products; a second kernel adds the parts in a fixed order.
#include "hici/ops/lora_linear_cuda.h"

#include "hici/ops/cuda_copies.cuh"
#include "hici/ops/cuda_mma.cuh"
#include "hici/ops/cuda_types.cuh"

#include <algorithm>

namespace hici::ops::cuda {
namespace {

constexpr int kWarps = 8, kThreads = 32 * kWarps;
constexpr int kRows = 16;               // of a tile, which one warp works on
constexpr int64_t kBlocksWanted = 132;  // one per SM of a Hopper card
constexpr int64_t kSumThreads = 256;

// As many as leave 64 registers for the sums of a thread.
template <int kRank>
inline constexpr int kColumns = 2048 / kRank;

// Rows in shared memory are 16 bytes longer than they are: eight of them at one column are in different banks.
template <typename T, int kWidth>
using Row = T[kWidth + 8];

template <typename T, int kRank>
struct Tile {
  Row<T, kColumns<kRank>> d[kRows];
  Row<T, kRank> low[kRows];
};

template <typename T, int kRank>
struct Block {
  Tile<T, kRank> tiles[kWarps][2];
  Row<T, kRank> b[kColumns<kRank>];
};

// Which rows and columns a block has.
struct Part {
  int64_t first_row, last_row, first_column;
};

__device__ Part part_of(const LoraShape& s, int64_t columns) {
  const int64_t row_blocks = gridDim.y, tiles = (s.segments * s.length + kRows - 1) / kRows;
  const int64_t each = (tiles + row_blocks - 1) / row_blocks * kRows;
  return {blockIdx.y * each, min((blockIdx.y + 1) * each, s.segments * s.length), blockIdx.x * columns};
}

// Rows after the last are zeros.
template <typename T, int kRank>
__device__ void fetch(Tile<T, kRank>& to, const LoraShape& s, const LoraBackward& p, const Part& part, int64_t row) {
  constexpr int kPacks = kColumns<kRank> / 8;
  const int lane = static_cast<int>(threadIdx.x) % 32;
  // Each lane finds the place of one row: divisions are dear.
  const auto own = static_cast<unsigned>(row) + lane % kRows;
  const bool own_is_there = own < part.last_row;
  const unsigned segment = own / static_cast<unsigned>(s.length), in_segment = own % static_cast<unsigned>(s.length);
  const int64_t own_place = own_is_there ? segment * s.d_stride + in_segment * s.columns : -1;
  const T* d = static_cast<const T*>(p.d) + part.first_column;
#pragma unroll 8
  for (int first = 0; first < kRows * kPacks; first += 32) {
    const int unit = first + lane, at = unit / kPacks, column = unit % kPacks * 8;
    const int64_t place = __shfl_sync(0xffffffffu, own_place, at);
    copy_async_or_zero(&to.d[at][column], d + max(place, int64_t{0}) + column, place >= 0);
  }
  if (lane < kRows) {
    const T* low = static_cast<const T*>(p.low) + (own_is_there ? own * s.low_stride : 0);
#pragma unroll
    for (int i = 0; i < kRank; i += 8) copy_async_or_zero(&to.low[lane][i], low + i, own_is_there);
  }
}

// Where this lane points to in a row-major tile, for 16 rows by 16 columns: rows first, or halves of the columns first.
struct Pointer {
  int row, column;
};
__device__ Pointer rows_first() {
  return {static_cast<int>(threadIdx.x) % 16, static_cast<int>(threadIdx.x) % 32 / 16 * 8};
}
__device__ Pointer columns_first() {
  return {static_cast<int>(threadIdx.x) % 8 + static_cast<int>(threadIdx.x) % 32 / 16 * 8,
          static_cast<int>(threadIdx.x) / 8 % 2 * 8};
}

// Right operands of 16 rows and kRank columns out of rows in shared memory.
template <typename T, int kRank>
__device__ void load_thin(unsigned (&to)[kRank / 8][2], const Row<T, kRank>* rows) {
#pragma unroll
  for (int i = 0; i < kRank / 8; i += 2) {
    unsigned both[4];  // of rank 8 the second half is the first again
    const Pointer at = rows_first();
    load_matrices<true>(both, &rows[at.row][8 * i + (kRank > 8 ? at.column : 0)]);
    to[i][0] = both[0];
    to[i][1] = both[1];
    if constexpr (kRank > 8) {
      to[i + 1][0] = both[2];
      to[i + 1][1] = both[3];
    }
  }
}

// dlow_parts [columns / kColumns, rows, kRank] and db_parts [blocks of rows, columns, kRank]
template <typename T, int kRank>
__global__ void __launch_bounds__(kThreads, 1) lora_backward(LoraShape s, LoraBackward p) {
  extern __shared__ __align__(16) unsigned char memory[];
  constexpr int kSteps = kColumns<kRank> / 16, kThin = kRank / 8;
  auto& block = *reinterpret_cast<Block<T, kRank>*>(memory);
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const Part part = part_of(s, kColumns<kRank>);
  for (int unit = static_cast<int>(threadIdx.x); unit < kColumns<kRank> * kThin; unit += kThreads) {
    const int column = unit / kThin, i = unit % kThin * 8;
    store_pack(&block.b[column][i],
               load_pack<T, 8>(static_cast<const T*>(p.b) + (part.first_column + column) * kRank + i));
  }
  const int64_t first = part.first_row + warp * kRows;
  if (first < part.last_row) fetch(block.tiles[warp][0], s, p, part, first);
  commit_copies();
  __syncthreads();  // b is there
  float db[kSteps][kThin][4] = {};
  int stage = 0;
  for (int64_t row = first; row < part.last_row; row += kWarps * kRows, stage ^= 1) {
    if (row + kWarps * kRows < part.last_row) fetch(block.tiles[warp][stage ^ 1], s, p, part, row + kWarps * kRows);
    commit_copies();
    wait_for_copies<1>();
    __syncwarp();
    const Tile<T, kRank>& tile = block.tiles[warp][stage];
    unsigned low[kThin][2];
    load_thin<T, kRank>(low, tile.low);
    float dlow[2][kThin][4] = {};  // of every other step: half as many that wait for each other
#pragma unroll
    for (int step = 0; step < kSteps; ++step) {
      unsigned d[4], turned[4], b[kThin][2];
      load_matrices<false>(d, &tile.d[rows_first().row][16 * step + rows_first().column]);
      load_matrices<true>(turned, &tile.d[columns_first().row][16 * step + columns_first().column]);
      load_thin<T, kRank>(b, block.b + 16 * step);
#pragma unroll
      for (int i = 0; i < kThin; ++i) {
        multiply_add<T>(dlow[step % 2][i], d, b[i][0], b[i][1]);
        multiply_add<T>(db[step][i], turned, low[i][0], low[i][1]);
      }
    }
#pragma unroll
    for (int i = 0; i < kThin; ++i)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int64_t at = row + lane / 4 + 8 * half;
        const float2 pair = {dlow[0][i][2 * half] + dlow[1][i][2 * half],
                             dlow[0][i][2 * half + 1] + dlow[1][i][2 * half + 1]};
        if (at < part.last_row)
          *reinterpret_cast<float2*>(p.dlow_parts + (blockIdx.x * s.segments * s.length + at) * kRank + 8 * i +
                                     lane % 4 * 2) = pair;
      }
    __syncwarp();  // the tile is written again
  }
  wait_for_copies<0>();
  __syncthreads();  // the tiles are no longer read; the warps' sums reuse their memory
  auto* sums = reinterpret_cast<float*>(memory);
#pragma unroll
  for (int step = 0; step < kSteps; ++step)
#pragma unroll
    for (int i = 0; i < kThin; ++i)
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int column = 16 * step + lane / 4 + j / 2 * 8;
        sums[(warp * kColumns<kRank> + column) * kRank + 8 * i + lane % 4 * 2 + j % 2] = db[step][i][j];
      }
  __syncthreads();
  float* to = p.db_parts + (blockIdx.y * s.columns + part.first_column) * kRank;
  for (int unit = static_cast<int>(threadIdx.x); unit < kColumns<kRank> * kRank; unit += kThreads) {
    float sum = 0;
    for (int w = 0; w < kWarps; ++w) sum += sums[w * kColumns<kRank> * kRank + unit];
    to[unit] = sum;
  }
}

// Elements first of dlow, then of db: scale times the sum of the parts.
template <typename T, int kRank>
__global__ void __launch_bounds__(kSumThreads) add_parts(LoraShape s, LoraBackward p, int row_blocks) {
  const int64_t rows = s.segments * s.length, unit = blockIdx.x * kSumThreads + threadIdx.x;
  const bool is_dlow = unit < rows * kRank;
  const int64_t element = is_dlow ? unit : unit - rows * kRank, count = (is_dlow ? rows : s.columns) * kRank;
  if (element >= count) return;
  const float* parts = is_dlow ? p.dlow_parts : p.db_parts;
  const int number = is_dlow ? static_cast<int>(s.columns / kColumns<kRank>) : row_blocks;
  float sum = 0;
  for (int i = 0; i < number; ++i) sum += parts[i * count + element];
  T* to = is_dlow ? static_cast<T*>(p.dlow) + element / kRank * s.low_stride + element % kRank
                  : static_cast<T*>(p.db) + element;
  *to = static_cast<T>(sum * p.scale);
}

int64_t row_blocks_of(const LoraShape& s, int64_t columns) {
  const int64_t tiles = (s.segments * s.length + kRows - 1) / kRows;
  return std::clamp(kBlocksWanted / (s.columns / columns), int64_t{1}, std::max(tiles / kWarps, int64_t{1}));
}

template <typename T, int kRank>
cudaError_t launch(const LoraShape& s, const LoraBackward& p, cudaStream_t stream) {
  constexpr size_t kBytes = sizeof(Block<T, kRank>);
  static_assert(kBytes >= sizeof(float) * kWarps * kColumns<kRank> * kRank, "room for the sums");
  cudaError_t status = cudaFuncSetAttribute(lora_backward<T, kRank>, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                            static_cast<int>(kBytes));
  if (status != cudaSuccess) return status;
  const int64_t row_blocks = row_blocks_of(s, kColumns<kRank>);
  const dim3 grid(static_cast<unsigned>(s.columns / kColumns<kRank>), static_cast<unsigned>(row_blocks));
  lora_backward<T, kRank><<<grid, kThreads, kBytes, stream>>>(s, p);
  status = cudaGetLastError();
  if (status != cudaSuccess) return status;
  const int64_t units = (s.segments * s.length + s.columns) * kRank;
  add_parts<T, kRank><<<static_cast<unsigned>((units + kSumThreads - 1) / kSumThreads), kSumThreads, 0, stream>>>(
      s, p, static_cast<int>(row_blocks));
  return cudaGetLastError();
}

template <typename T>
cudaError_t launch_for_rank(const LoraShape& s, const LoraBackward& p, cudaStream_t stream) {
  return s.rank == 8 ? launch<T, 8>(s, p, stream) : launch<T, 16>(s, p, stream);
}

int64_t columns_of_a_block(int64_t rank) { return rank == 8 ? kColumns<8> : kColumns<16>; }

}  // namespace

bool lora_backward_supports(ElementType type, const LoraShape& s, const void* d, const void* low, const void* b) {
  const bool is_16_bit = type == ElementType::kBFloat16 || type == ElementType::kFloat16;
  return is_16_bit && (s.rank == 8 || s.rank == 16) && s.columns % columns_of_a_block(s.rank) == 0 &&
         s.low_stride % 8 == 0 && s.d_stride % 8 == 0 && is_packable(d) && is_packable(low) && is_packable(b);
}

LoraParts lora_parts(const LoraShape& s) {
  const int64_t columns = columns_of_a_block(s.rank);
  return {s.columns / columns, row_blocks_of(s, columns)};
}

cudaError_t launch_lora_backward(ElementType type, const LoraShape& s, const LoraBackward& p, cudaStream_t stream) {
  return type == ElementType::kBFloat16 ? launch_for_rank<__nv_bfloat16>(s, p, stream)
                                        : launch_for_rank<__half>(s, p, stream);
}

}  // namespace hici::ops::cuda
