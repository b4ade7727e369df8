// SPDX-License-Identifier: Apache-2.0
// Backward of segment_attention on Hopper, in four kernels:
// 1. prepare: delta = sum(dout out) of every query; the slots' part of the gradients, for which queries and output
//    gradients are read once; dq begins with the slots' part instead of zeros.
// 2. tokens: a block takes a tile of 128 keys and all queries that see it, 64 at a time. With scores S^T = K Q^T,
//    P^T = exp(S^T - lse) and dS^T = P^T (V dout^T - delta): dv += P^T dout, dk += dS^T q, dq += dS k. Query heads of a
//    group follow one another, so that gradients of keys and values stay in registers. dq is summed in float32 in the
//    second cache, as registers hold it. Tiles are taken as in the forward.
// 3. finish: dq in the element type. 4. The slots' sums of all chunks.
#include "hici/ops/cuda_copies.cuh"
#include "hici/ops/cuda_mma.cuh"
#include "hici/ops/segment_attention_hopper.cuh"

#include <algorithm>
#include <limits>

namespace hici::ops::cuda {
namespace {

constexpr int kQueries = kHopperQueryTile, kKeys = 128, kThreads = 384, kConsumerWarps = 8;
constexpr int kSlotRows = kHopperSlotRows;
constexpr int kPairsAtOnce = 16;  // key/value heads of segments whose tiles are taken together

// ------------------------------------------------------------------------------------------------------- prepare

template <typename T>
struct PrepareArguments {
  const T *q, *out, *dout, *k, *v;
  int64_t q_stride, out_stride, dout_stride, kv_stride;
  const float* lse;
  float *lse_log2, *delta, *dq_sum, *slot_sums;
  int queries, query_tiles, heads, group, slots, first_slot;  // slots from first_slot on, up to kSlotRows
  float scale;
};

// Rows of D numbers in shared memory whose 16-byte packs are swizzled, so that matrices are read without conflicts.
template <typename T, int kD, int kRows>
struct SwizzledRows {
  T at[kRows][kD];
  __device__ T* pack(int row, int index) { return &at[row][(index ^ row % 8) * 8]; }
  // Rows `row` on, packs `index` on: matrices (rows 0-7, first pack), (rows 0-7, second), (rows 8-15, first), ...
  __device__ const T* by_pack_first(int row, int index) {
    const int lane = threadIdx.x % 32;
    return pack(row + lane / 16 * 8 + lane % 8, index + lane / 8 % 2);
  }
  // ... (rows 0-7, first pack), (rows 8-15, first), (rows 0-7, second), ...
  __device__ const T* by_row_first(int row, int index) {
    const int lane = threadIdx.x % 32;
    return pack(row + lane / 8 % 2 * 8 + lane % 8, index + lane / 16);
  }
};

template <typename T, int kD>
struct PrepareMemory {
  SwizzledRows<T, kD, kSlotRows> k, v;
  SwizzledRows<T, kD, 16> q[2][4], out[2][4], dout[2][4];  // two stages, each warp its own
  float lse_log2[4][16], delta[4][16];
};

__device__ inline unsigned transposed(unsigned matrix) {
  unsigned result;
  asm("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(result) : "r"(matrix));
  return result;
}

// kHasSlots: the slots' part too. kAdds: dq and delta are there already, from the slots before these.
template <typename T, int kD, bool kHasSlots, bool kAdds>
__global__ void __launch_bounds__(128) prepare_kernel(const __grid_constant__ PrepareArguments<T> a) {
  constexpr int kPacks = kD / 8, kTiles = kHopperSlotChunk / kQueries;
  extern __shared__ __align__(16) char raw[];
  auto& m = *reinterpret_cast<PrepareMemory<T, kD>*>(raw);
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, pair = blockIdx.x;
  const int segment = pair / a.heads, head = pair % a.heads;
  const int64_t row_size = static_cast<int64_t>(a.heads) * kD;
  const T* q = a.q + segment * a.q_stride + static_cast<int64_t>(head) * kD;
  const T* out = a.out + segment * a.out_stride + static_cast<int64_t>(head) * kD;
  const T* dout = a.dout + segment * a.dout_stride + static_cast<int64_t>(head) * kD;
  const int first_tile = blockIdx.y * kTiles, end_tile = min(first_tile + kTiles, a.query_tiles);
  const int64_t padded = static_cast<int64_t>(a.query_tiles) * kQueries;

  const auto bring = [&](int tile, int stage) {
    const int first = tile * kQueries + warp * 16;
#pragma unroll
    for (int i = lane; i < 16 * kPacks; i += 32) {
      const int row = i / kPacks, pack = i % kPacks;
      const bool is_there = first + row < a.queries;
      const int64_t at = is_there ? (first + row) * row_size + pack * 8 : 0;
      copy_async_or_zero(m.dout[stage][warp].pack(row, pack), dout + at, is_there);
      if constexpr (!kAdds) copy_async_or_zero(m.out[stage][warp].pack(row, pack), out + at, is_there);
      if constexpr (kHasSlots) copy_async_or_zero(m.q[stage][warp].pack(row, pack), q + at, is_there);
    }
    commit_copies();
  };
  if constexpr (kHasSlots) {
    const int64_t kv_row = row_size / a.group;
    const int64_t kv = segment * a.kv_stride + static_cast<int64_t>(head / a.group) * kD + a.first_slot * kv_row;
    for (int i = threadIdx.x; i < kSlotRows * kPacks; i += 128) {
      const int row = i / kPacks, pack = i % kPacks;
      const bool is_there = row < a.slots;
      const int64_t at = kv + (is_there ? row * kv_row + pack * 8 : 0);
      copy_async_or_zero(m.k.pack(row, pack), a.k + at, is_there);
      copy_async_or_zero(m.v.pack(row, pack), a.v + at, is_there);
    }
  }
  bring(first_tile, 0);
  wait_for_copies<0>();
  __syncthreads();  // the slots' rows are there for all

  float dk[kPacks][4] = {}, dv[kPacks][4] = {};
  for (int tile = first_tile; tile < end_tile; ++tile) {
    const int stage = (tile - first_tile) % 2, first = tile * kQueries + warp * 16;
    auto& q_rows = m.q[stage][warp];
    auto& dout_rows = m.dout[stage][warp];
    if (tile + 1 < end_tile) bring(tile + 1, stage ^ 1);

    // delta and lse of 16 queries
    if constexpr (kAdds) {
      if (lane < 16) {
        m.delta[warp][lane] = a.delta[pair * padded + first + lane];
        m.lse_log2[warp][lane] = a.lse_log2[pair * padded + first + lane];
      }
    } else {
      constexpr int kRowsAtOnce = 32 / kPacks;
#pragma unroll
      for (int i = 0; i < 16 / kRowsAtOnce; ++i) {
        const int row = i * kRowsAtOnce + lane / kPacks, pack = lane % kPacks;
        const auto o = load_pack<T, 8>(m.out[stage][warp].pack(row, pack));
        const auto d = load_pack<T, 8>(dout_rows.pack(row, pack));
        float sum = 0;
#pragma unroll
        for (int j = 0; j < 8; ++j) sum += static_cast<float>(o.at[j]) * static_cast<float>(d.at[j]);
#pragma unroll
        for (int offset = kPacks / 2; offset > 0; offset /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, offset);
        if (pack == 0) m.delta[warp][row] = sum;
      }
      __syncwarp();
      if (lane < 16) {
        const bool is_there = first + lane < a.queries;
        // Queries past the end have no weights.
        const float lse = is_there ? a.lse[static_cast<int64_t>(pair) * a.queries + first + lane] * kLog2e
                                   : std::numeric_limits<float>::infinity();
        m.lse_log2[warp][lane] = lse;
        a.lse_log2[pair * padded + first + lane] = lse;
        a.delta[pair * padded + first + lane] = m.delta[warp][lane];
      }
    }
    __syncwarp();

    float* sum = a.dq_sum + (pair * padded + tile * kQueries) * kD + threadIdx.x * 4;
    if constexpr (kHasSlots) {
      float s[2][4] = {}, dp[2][4] = {};  // [slots, queries], columns 0 to 7 and 8 to 15
#pragma unroll
      for (int i = 0; i < kD / 16; ++i) {
        unsigned left[4], right[4];
        load_matrices<false>(left, m.k.by_row_first(0, 2 * i));
        load_matrices<false>(right, q_rows.by_pack_first(0, 2 * i));
        multiply_add<T>(s[0], left, right[0], right[1]);
        multiply_add<T>(s[1], left, right[2], right[3]);
        load_matrices<false>(left, m.v.by_row_first(0, 2 * i));
        load_matrices<false>(right, dout_rows.by_pack_first(0, 2 * i));
        multiply_add<T>(dp[0], left, right[0], right[1]);
        multiply_add<T>(dp[1], left, right[2], right[3]);
      }
#pragma unroll
      for (int i = 0; i < 2; ++i) {
#pragma unroll
        for (int j = 0; j < 4; ++j) {
          const int query = 8 * i + lane % 4 * 2 + j % 2, slot = lane / 4 + j / 2 * 8;
          const float weight =
              slot < a.slots ? exp2_fast(fmaf(s[i][j], a.scale * kLog2e, -m.lse_log2[warp][query])) : 0;
          s[i][j] = weight;
          dp[i][j] = weight * (dp[i][j] - m.delta[warp][query]);
        }
      }
      const unsigned p[4] = {packed<T>(s[0][0], s[0][1]), packed<T>(s[0][2], s[0][3]), packed<T>(s[1][0], s[1][1]),
                             packed<T>(s[1][2], s[1][3])};
      const unsigned ds[4] = {packed<T>(dp[0][0], dp[0][1]), packed<T>(dp[0][2], dp[0][3]),
                              packed<T>(dp[1][0], dp[1][1]), packed<T>(dp[1][2], dp[1][3])};
      const unsigned ds_by_query[4] = {transposed(ds[0]), transposed(ds[2]), transposed(ds[1]), transposed(ds[3])};
#pragma unroll
      for (int i = 0; i < kPacks; i += 2) {
        unsigned right[4];
        load_matrices<true>(right, dout_rows.by_row_first(0, i));
        multiply_add<T>(dv[i], p, right[0], right[1]);
        multiply_add<T>(dv[i + 1], p, right[2], right[3]);
        load_matrices<true>(right, q_rows.by_row_first(0, i));
        multiply_add<T>(dk[i], ds, right[0], right[1]);
        multiply_add<T>(dk[i + 1], ds, right[2], right[3]);
        float dq[2][4] = {};
        load_matrices<true>(right, m.k.by_row_first(0, i));
        multiply_add<T>(dq[0], ds_by_query, right[0], right[1]);
        multiply_add<T>(dq[1], ds_by_query, right[2], right[3]);
#pragma unroll
        for (int j = 0; j < 2; ++j) {
          auto* to = reinterpret_cast<float4*>(sum + (i + j) * 512);
          float4 value{dq[j][0], dq[j][1], dq[j][2], dq[j][3]};
          if constexpr (kAdds) {
            const float4 before = *to;
            value = {value.x + before.x, value.y + before.y, value.z + before.z, value.w + before.w};
          }
          *to = value;
        }
      }
    } else {
#pragma unroll
      for (int i = 0; i < kPacks; ++i) *reinterpret_cast<float4*>(sum + i * 512) = {0, 0, 0, 0};
    }
    wait_for_copies<0>();
    __syncwarp();
  }

  if constexpr (kHasSlots) {
    auto* sums = reinterpret_cast<float (*)[kSlotRows][kD]>(&m.q);  // no longer needed
    __syncthreads();
    for (int w = 0; w < 4; ++w) {
      if (warp == w) {
#pragma unroll
        for (int i = 0; i < kPacks; ++i) {
#pragma unroll
          for (int j = 0; j < 4; ++j) {
            const int slot = lane / 4 + j / 2 * 8, column = 8 * i + lane % 4 * 2 + j % 2;
            sums[0][slot][column] = dk[i][j] + (w > 0 ? sums[0][slot][column] : 0);
            sums[1][slot][column] = dv[i][j] + (w > 0 ? sums[1][slot][column] : 0);
          }
        }
      }
      __syncthreads();
    }
    constexpr int kNumbers = 2 * kSlotRows * kD;
    float* to = a.slot_sums + (static_cast<int64_t>(pair) * gridDim.y + blockIdx.y) * kNumbers;
    for (int i = threadIdx.x; i < kNumbers; i += 128) to[i] = (&sums[0][0][0])[i];
  }
}

// dk and dv of slots: the sums over chunks and over the query heads of a group. Grid: kv heads of all segments, slots;
// a thread for each number of a head.
template <typename T>
__global__ void slot_gradients_kernel(const float* sums, int parts, int kv_heads, int64_t kv_stride, int first_slot,
                                      float scale, T* dk, T* dv) {
  const int segment = static_cast<int>(blockIdx.x) / kv_heads, kv_head = static_cast<int>(blockIdx.x) % kv_heads;
  const int slot = blockIdx.y, head_dim = blockDim.x, numbers = kSlotRows * head_dim;
  const float* from = sums + static_cast<int64_t>(blockIdx.x) * parts * 2 * numbers + slot * head_dim + threadIdx.x;
  float k = 0, v = 0;
#pragma unroll 4
  for (int i = 0; i < parts; ++i) {
    k += from[static_cast<int64_t>(2 * i) * numbers];
    v += from[static_cast<int64_t>(2 * i + 1) * numbers];
  }
  const int64_t at =
      segment * kv_stride + (static_cast<int64_t>(first_slot + slot) * kv_heads + kv_head) * head_dim + threadIdx.x;
  dk[at] = static_cast<T>(k * scale);
  dv[at] = static_cast<T>(v);
}

// -------------------------------------------------------------------------------------------------------- tokens

struct BackwardMaps {
  CUtensorMap q, dout, k, v;
};

template <typename T>
struct BackwardArguments {
  int queries, slots, kv_heads, group, query_tiles, tiles;
  TileOrder order;  // pairs: of kv heads; the first keys are seen by most queries
  float scale;
  const float *lse_log2, *delta;
  float* dq_sum;
  T *dk, *dv;
  int64_t kv_stride;
  unsigned* next_tile;
};

template <typename T, int kD>
struct alignas(1024) BackwardMemory {
  T k[2][kD / kHalf][kKeys][kHalf];
  T v[2][kD / kHalf][kKeys][kHalf];
  T q[2][kD / kHalf][kQueries][kHalf];
  T dout[2][kD / kHalf][kQueries][kHalf];
  T ds[2][kKeys][kQueries];  // dS^T, swizzled
  float lse_log2[2][kQueries], delta[2][kQueries];
  uint64_t kv_full[2], kv_empty[2], q_full[2], q_empty[2], dout_full[2], dout_empty[2];
  int tile[2];
};

// The queries of all heads of a group that see a tile with their log-sum-exp, or their output gradients with delta.
template <bool kOutputGradients, typename T, int kD>
__device__ void bring_rows(BackwardMemory<T, kD>& m, const BackwardMaps& maps, const BackwardArguments<T>& a,
                           const Tile& tile, Ring<2>& ring) {
  constexpr unsigned kRowBytes = kQueries * sizeof(float), kBytes = kQueries * kD * sizeof(T) + kRowBytes;
  auto& rows = kOutputGradients ? m.dout : m.q;
  auto& row_numbers = kOutputGradients ? m.delta : m.lse_log2;
  auto& full = kOutputGradients ? m.dout_full : m.q_full;
  auto& empty = kOutputGradients ? m.dout_empty : m.q_empty;
  const CUtensorMap& map = kOutputGradients ? maps.dout : maps.q;
  const int segment = tile.pair / a.kv_heads, first_head = tile.pair % a.kv_heads * a.group;
#pragma unroll 1
  for (int g = 0; g < a.group; ++g) {
#pragma unroll 1
    for (int i = 2 * tile.number; i < a.query_tiles; ++i) {
      barrier_wait(&empty[ring.place], ring.parity ^ 1);
      barrier_expect(&full[ring.place], kBytes);
#pragma unroll
      for (int h = 0; h < kD / kHalf; ++h)
        copy_box(rows[ring.place][h], &map, (first_head + g) * kD + h * kHalf, i * kQueries, segment,
                 &full[ring.place]);
      const int64_t first = (static_cast<int64_t>(tile.pair * a.group + g) * a.query_tiles + i) * kQueries;
      copy_bytes(row_numbers[ring.place], (kOutputGradients ? a.delta : a.lse_log2) + first, kRowBytes,
                 &full[ring.place]);
      ring.advance();
    }
  }
}

// One thread: tiles of keys and values, and queries.
template <typename T, int kD>
__device__ void bring_keys_and_queries(BackwardMemory<T, kD>& m, const BackwardMaps& maps,
                                       const BackwardArguments<T>& a) {
  constexpr unsigned kKeyBytes = kKeys * kD * sizeof(T);
  Ring<2> kv_ring, ring;
  int t = blockIdx.x;
  while (true) {
    barrier_wait(&m.kv_empty[kv_ring.place], kv_ring.parity ^ 1);
    uint64_t* full = &m.kv_full[kv_ring.place];
    if (t >= a.tiles) {
      m.tile[kv_ring.place] = -1;
      barrier_arrive(full);
      return;
    }
    const Tile tile = tile_of(a.order, t);
    const int segment = tile.pair / a.kv_heads, kv_head = tile.pair % a.kv_heads;
    m.tile[kv_ring.place] = t;
    barrier_expect(full, 2 * kKeyBytes);
#pragma unroll
    for (int h = 0; h < kD / kHalf; ++h) {
      const int column = kv_head * kD + h * kHalf, row = a.slots + tile.number * kKeys;
      copy_box(m.k[kv_ring.place][h], &maps.k, column, row, segment, full);
      copy_box(m.v[kv_ring.place][h], &maps.v, column, row, segment, full);
    }
    kv_ring.advance();
    bring_rows<false>(m, maps, a, tile, ring);
    // Each block asks until it is refused, which is `tiles` times in all: then the counter is 0 again.
    t = static_cast<int>(gridDim.x + atomicInc(a.next_tile, static_cast<unsigned>(a.tiles) - 1));
  }
}

// Another thread: the output gradients for the same tiles.
template <typename T, int kD>
__device__ void bring_output_gradients(BackwardMemory<T, kD>& m, const BackwardMaps& maps,
                                       const BackwardArguments<T>& a) {
  Ring<2> kv_ring, ring;
  while (true) {
    // The place is not used again before all output gradients of its tile were read.
    barrier_wait(&m.kv_full[kv_ring.place], kv_ring.parity);
    const int t = m.tile[kv_ring.place];
    if (t < 0) return;
    kv_ring.advance();
    bring_rows<true>(m, maps, a, tile_of(a.order, t), ring);
  }
}

// d [64 keys, 64 queries] = keys [64, D] queries [64, D]^T; halves of a row lie kKeys and kQueries rows apart.
template <typename T, int kD>
__device__ void issue_transposed_scores(float (&d)[kQueries / 2], const T* keys, const T* queries) {
  const uint64_t a = row_operand(keys), b = row_operand(queries);
#pragma unroll
  for (int i = 0; i < kD / 16; ++i)
    WarpgroupProduct<T, kQueries>::template run<false, false>(d, advanced(a, i / 4 * kKeys * 128 + i % 4 * 32),
                                                              advanced(b, i / 4 * kQueries * 128 + i % 4 * 32), i > 0);
}
// d [64 keys, D] += weights [64 keys, 64 queries] rows [64 queries, D]
template <typename T, int kD>
__device__ void issue_key_sums(float (&d)[kD / 2], const unsigned (&weights)[kQueries / 4], const T* rows, bool adds) {
  const uint64_t b = column_operand(rows, kQueries * 128);
#pragma unroll
  for (int i = 0; i < kQueries / 16; ++i)
    WarpgroupProduct<T, kD>::template run<true>(d, weights + 4 * i, advanced(b, i * 2048), adds || i > 0);
}

// This warpgroup's 64 rows of a gradient of keys or values, to memory.
template <typename T, int kD>
__device__ void store_key_rows(const float (&d)[kD / 2], float factor, int first_row, int rows, int64_t row_size,
                               T* to) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x % kWarpgroup / 32;
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int row = first_row + warp * 16 + lane / 4 + 8 * r;
    store_row<T, kD>(to + row * row_size, row < rows,
                     [&](int j) { return packed<T>(d[4 * j + 2 * r] * factor, d[4 * j + 2 * r + 1] * factor); });
  }
}

template <typename T, int kD>
__device__ void take_gradients(BackwardMemory<T, kD>& m, const BackwardArguments<T>& a, int warpgroup) {
  const unsigned thread = threadIdx.x % kWarpgroup;
  const int lane = threadIdx.x % 32, warp = threadIdx.x % kWarpgroup / 32, column = lane % 4 * 2;
  const int key = warpgroup * 64 + warp * 16 + lane / 4;  // of the tile
  const float scale = a.scale * kLog2e;
  const bool is_first_lane = lane == 0;
  // Where this thread's rows of dS^T go: packs of 8 queries, swizzled by the key.
  const int store_key = warpgroup * 64 + warp * 16 + lane / 8 % 2 * 8 + lane % 8, store_pack = lane / 16;
  Ring<2> kv_ring, ring;
  int ds_place = 0;

  while (true) {
    barrier_wait(&m.kv_full[kv_ring.place], kv_ring.parity);
    const int t = m.tile[kv_ring.place];
    if (t < 0) break;
    const Tile tile = tile_of(a.order, t);
    const T* k = m.k[kv_ring.place][0][warpgroup * 64];
    const T* v = m.v[kv_ring.place][0][warpgroup * 64];
    const T* dq_k =
        kD == 128 ? m.k[kv_ring.place][kD == 128 ? warpgroup : 0][0] : m.k[kv_ring.place][0][0] + warpgroup * (kD / 2);
    float dk[kD / 2], dv[kD / 2];

    for (int g = 0; g < a.group; ++g) {
      const unsigned first_tile = (tile.pair * a.group + g) * a.query_tiles;
      for (int i = 2 * tile.number; i < a.query_tiles; ++i) {
        const bool adds = g > 0 || i > 2 * tile.number;
        float s[kQueries / 2], dp[kQueries / 2];
        unsigned p[kQueries / 4], ds[kQueries / 4];
        barrier_wait(&m.q_full[ring.place], ring.parity);
        fence_products();
        issue_transposed_scores<T, kD>(s, k, m.q[ring.place][0][0]);
        commit_products();
        barrier_wait(&m.dout_full[ring.place], ring.parity);
        fence_products();
        issue_transposed_scores<T, kD>(dp, v, m.dout[ring.place][0][0]);
        commit_products();
        wait_for_products<1>();
        hold(s);
        if (i < 2 * tile.number + 2) {
          const int first = (i - 2 * tile.number) * kQueries;  // query of the tile's keys' numbering
#pragma unroll
          for (int j = 0; j < kQueries / 2; ++j)
            if (first + j / 4 * 8 + column + j % 2 < key + j / 2 % 2 * 8)
              s[j] = -std::numeric_limits<float>::infinity();
        }
#pragma unroll
        for (int j = 0; j < kQueries / 8; ++j) {
          const float2 lse = *reinterpret_cast<const float2*>(&m.lse_log2[ring.place][8 * j + column]);
          s[4 * j] = exp2_fast(fmaf(s[4 * j], scale, -lse.x));
          s[4 * j + 1] = exp2_fast(fmaf(s[4 * j + 1], scale, -lse.y));
          s[4 * j + 2] = exp2_fast(fmaf(s[4 * j + 2], scale, -lse.x));
          s[4 * j + 3] = exp2_fast(fmaf(s[4 * j + 3], scale, -lse.y));
        }
        pack_all<T>(s, p);
        fence_products();
        issue_key_sums<T, kD>(dv, p, m.dout[ring.place][0][0], adds);
        commit_products();
        wait_for_products<1>();
        hold(dp);
#pragma unroll
        for (int j = 0; j < kQueries / 8; ++j) {
          const float2 delta = *reinterpret_cast<const float2*>(&m.delta[ring.place][8 * j + column]);
          dp[4 * j] = s[4 * j] * (dp[4 * j] - delta.x);
          dp[4 * j + 1] = s[4 * j + 1] * (dp[4 * j + 1] - delta.y);
          dp[4 * j + 2] = s[4 * j + 2] * (dp[4 * j + 2] - delta.x);
          dp[4 * j + 3] = s[4 * j + 3] * (dp[4 * j + 3] - delta.y);
        }
        pack_all<T>(dp, ds);
        const unsigned row = shared_address(m.ds[ds_place][store_key]);
#pragma unroll
        for (int j = 0; j < kQueries / 16; ++j)
          store_matrices(row + ((2 * j + store_pack) ^ store_key % 8) * 16, ds[4 * j], ds[4 * j + 1], ds[4 * j + 2],
                         ds[4 * j + 3]);
        fence_shared_writes();
        named_sync(1, 2 * kWarpgroup);  // both warpgroups' dS

        float dq[kD / 4];
        fence_products();
        {
          const uint64_t left = column_operand(m.ds[ds_place], 0), right = column_operand(dq_k, 0);
#pragma unroll
          for (int j = 0; j < kKeys / 16; ++j)
            WarpgroupProduct<T, kD / 2>::template run<true, true>(dq, advanced(left, j * 2048),
                                                                  advanced(right, j * 2048), j > 0);
        }
        commit_products();
        issue_key_sums<T, kD>(dk, ds, m.q[ring.place][0][0], adds);
        commit_products();
        ds_place ^= 1;
        wait_for_products<1>();
        hold(dq);
        hold(dv);
        if (is_first_lane) barrier_arrive(&m.dout_empty[ring.place]);
        float* to =
            a.dq_sum + (static_cast<size_t>(2 * (first_tile + i) + warpgroup) * (kD / 16) * kWarpgroup + thread) * 4;
#pragma unroll
        for (int j = 0; j < kD / 16; ++j)
          add_four(to + j * 512, dq[4 * j], dq[4 * j + 1], dq[4 * j + 2], dq[4 * j + 3]);
        wait_for_products<0>();
        hold(dk);
        if (is_first_lane) barrier_arrive(&m.q_empty[ring.place]);
        ring.advance();
      }
    }
    if (is_first_lane) barrier_arrive(&m.kv_empty[kv_ring.place]);
    kv_ring.advance();

    const int segment = tile.pair / a.kv_heads, kv_head = tile.pair % a.kv_heads;
    const int64_t row_size = static_cast<int64_t>(a.kv_heads) * kD;
    const int64_t first = segment * a.kv_stride + a.slots * row_size + static_cast<int64_t>(kv_head) * kD;
    const int first_row = tile.number * kKeys + warpgroup * 64;
    store_key_rows<T, kD>(dk, a.scale, first_row, a.queries, row_size, a.dk + first);
    store_key_rows<T, kD>(dv, 1, first_row, a.queries, row_size, a.dv + first);
  }
}

template <typename T, int kD>
__global__ void __launch_bounds__(kThreads, 1)
    tokens_kernel(const __grid_constant__ BackwardMaps maps, const __grid_constant__ BackwardArguments<T> a) {
  extern __shared__ char raw[];
  auto& m = *reinterpret_cast<BackwardMemory<T, kD>*>(raw + aligned_offset(raw));
  if (threadIdx.x == 0) {
    ring_init(m.kv_full, m.kv_empty, kConsumerWarps);
    ring_init(m.q_full, m.q_empty, kConsumerWarps);
    ring_init(m.dout_full, m.dout_empty, kConsumerWarps);
    fence_barrier_init();
  }
  __syncthreads();
  const int warpgroup = static_cast<int>(threadIdx.x) / kWarpgroup;
  if (warpgroup == 0) {
    keep_registers<24>();
    if (threadIdx.x == 0) bring_keys_and_queries(m, maps, a);
    if (threadIdx.x == 32) bring_output_gradients(m, maps, a);
  } else {
    take_registers<240>();
    take_gradients(m, a, warpgroup - 1);
  }
}

// -------------------------------------------------------------------------------------------------------- finish

// dq = scale times the sums. Grid: query tiles of all pairs.
template <typename T, int kD>
__global__ void __launch_bounds__(128)
    finish_kernel(const float* dq_sum, int queries, int query_tiles, int heads, float scale, T* dq, int64_t dq_stride) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int pair = static_cast<int>(blockIdx.x) / query_tiles, tile = static_cast<int>(blockIdx.x) % query_tiles;
  const int segment = pair / heads, head = pair % heads;
  const float* from = dq_sum + static_cast<int64_t>(blockIdx.x) * (kQueries * kD) + threadIdx.x * 4;
  float4 value[kD / 8];
#pragma unroll
  for (int i = 0; i < kD / 8; ++i) value[i] = *reinterpret_cast<const float4*>(from + i * 512);
#pragma unroll
  for (int r = 0; r < 2; ++r) {
    const int query = tile * kQueries + warp * 16 + lane / 4 + 8 * r;
    T* to = dq + segment * dq_stride + (static_cast<int64_t>(query) * heads + head) * kD;
    store_row<T, kD>(to, query < queries, [&](int j) {
      const float4& x = value[j];
      return r == 0 ? packed<T>(x.x * scale, x.y * scale) : packed<T>(x.z * scale, x.w * scale);
    });
  }
}

// -------------------------------------------------------------------------------------------------- on the host

template <typename T, int kD, bool kHasSlots, bool kAdds>
cudaError_t launch_prepare(const PrepareArguments<T>& a, int pairs, cudaStream_t stream) {
  constexpr int kBytes = sizeof(PrepareMemory<T, kD>);
  const auto kernel = prepare_kernel<T, kD, kHasSlots, kAdds>;
  if (const cudaError_t status = allow_shared_memory(kernel, kBytes); status != cudaSuccess) return status;
  const dim3 grid(static_cast<unsigned>(pairs), static_cast<unsigned>(hopper_slot_chunks(a.queries)));
  kernel<<<grid, 128, kBytes, stream>>>(a);
  return cudaGetLastError();
}

template <typename T, int kD>
cudaError_t launch_backward(const HopperAttentionShape& s, const HopperBackward& p, cudaStream_t stream) {
  if (map_encoder() == nullptr) return cudaErrorNotSupported;
  const int64_t keys = s.slots + s.queries, columns = s.heads * kD, kv_columns = s.kv_heads * kD;
  const int64_t kv_stride = keys * kv_columns;
  const int pairs = static_cast<int>(s.segments * s.heads), kv_pairs = static_cast<int>(s.segments * s.kv_heads);
  const int group = static_cast<int>(s.heads / s.kv_heads);
  const int query_tiles = static_cast<int>(hopper_padded_queries(s.queries) / kQueries);
  const int chunks = static_cast<int>(hopper_slot_chunks(s.queries));
  const auto scale = static_cast<float>(s.scale);
  T *dk = static_cast<T*>(p.dk), *dv = static_cast<T*>(p.dv);

  PrepareArguments<T> prepare{static_cast<const T*>(p.q.data),
                              static_cast<const T*>(p.out.data),
                              static_cast<const T*>(p.dout.data),
                              static_cast<const T*>(p.k),
                              static_cast<const T*>(p.v),
                              p.q.stride,
                              p.out.stride,
                              p.dout.stride,
                              kv_stride,
                              p.lse,
                              p.lse_log2,
                              p.delta,
                              p.dq_sum,
                              p.slot_sums,
                              static_cast<int>(s.queries),
                              query_tiles,
                              static_cast<int>(s.heads),
                              group,
                              0,
                              0,
                              scale};
  if (s.slots == 0) {
    if (const auto status = launch_prepare<T, kD, false, false>(prepare, pairs, stream); status != cudaSuccess)
      return status;
  }
  for (int first = 0; first < s.slots; first += kSlotRows) {
    prepare.first_slot = first;
    prepare.slots = std::min(kSlotRows, static_cast<int>(s.slots) - first);
    const auto status = first == 0 ? launch_prepare<T, kD, true, false>(prepare, pairs, stream)
                                   : launch_prepare<T, kD, true, true>(prepare, pairs, stream);
    if (status != cudaSuccess) return status;
    const dim3 grid(static_cast<unsigned>(kv_pairs), static_cast<unsigned>(prepare.slots));
    slot_gradients_kernel<T><<<grid, kD, 0, stream>>>(p.slot_sums, group * chunks, static_cast<int>(s.kv_heads),
                                                      kv_stride, first, scale, dk, dv);
    if (const auto last = cudaGetLastError(); last != cudaSuccess) return last;
  }

  BackwardMaps maps;
  const bool made = make_map<T>(maps.q, p.q.data, columns, s.queries, s.segments, p.q.stride, kQueries) &&
                    make_map<T>(maps.dout, p.dout.data, columns, s.queries, s.segments, p.dout.stride, kQueries) &&
                    make_map<T>(maps.k, p.k, kv_columns, keys, s.segments, kv_stride, kKeys) &&
                    make_map<T>(maps.v, p.v, kv_columns, keys, s.segments, kv_stride, kKeys);
  if (!made) return cudaErrorInvalidValue;
  const int key_tiles = static_cast<int>((s.queries + kKeys - 1) / kKeys);
  const BackwardArguments<T> a{static_cast<int>(s.queries),
                               static_cast<int>(s.slots),
                               static_cast<int>(s.kv_heads),
                               group,
                               query_tiles,
                               kv_pairs * key_tiles,
                               {kv_pairs, kPairsAtOnce, key_tiles},
                               scale,
                               p.lse_log2,
                               p.delta,
                               p.dq_sum,
                               dk,
                               dv,
                               kv_stride,
                               p.next_tile};
  if (const auto status = launch_persistent<BackwardMemory<T, kD>>(tokens_kernel<T, kD>, kThreads, maps, a, stream);
      status != cudaSuccess)
    return status;

  finish_kernel<T, kD><<<pairs * query_tiles, 128, 0, stream>>>(p.dq_sum, static_cast<int>(s.queries), query_tiles,
                                                                static_cast<int>(s.heads), scale,
                                                                static_cast<T*>(p.dq.data), p.dq.stride);
  return cudaGetLastError();
}

}  // namespace

cudaError_t launch_hopper_attention_backward(ElementType type, const HopperAttentionShape& shape,
                                             const HopperBackward& p, cudaStream_t stream) {
  if (shape.slots > kMaxHopperSlots) return cudaErrorInvalidValue;
  return dispatch_hopper(type, shape.head_dim, [&]<typename T, int kD>(T*, std::integral_constant<int, kD>) {
    return launch_backward<T, kD>(shape, p, stream);
  });
}

}  // namespace hici::ops::cuda
