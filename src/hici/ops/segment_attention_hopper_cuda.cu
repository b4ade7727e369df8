// SPDX-License-Identifier: Apache-2.0
// Attention of segments over [slots, own tokens] on Hopper's tensor cores (wgmma), after the algorithm of
// FlashAttention-3 (arXiv 2407.08608): one warp brings tiles of keys and values by bulk copies, two warpgroups of 64
// queries each multiply, and the softmax of one tile runs beside the products of the next one and of the other
// warpgroup. What is its own:
// - Slots are a small tile of 16 or 32 keys beside the first tile of tokens, so that tiles of tokens lie on the
//   diagonal and slots cost an eighth or a quarter of a tile.
// - Segments are short, so that a block takes tiles until none is left, longest first among heads whose keys fit in the
//   second cache; the next tile's queries and keys come while the last one's output is written.
#include "hici/ops/segment_attention_hopper_cuda.h"

#include "hici/ops/segment_attention_hopper.cuh"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hici::ops::cuda {
namespace {

constexpr int kQueries = 128, kKeys = 128, kStages = 2, kThreads = 384, kConsumerWarps = 8;
// A row's weights are scaled by exp2(-maximum); a new maximum is taken over only when it is this much larger (log2), so
// that most tiles leave the output as it is. Weights then are at most 256, the sum and the output are exact as before.
constexpr float kGrowth = 8;

struct ForwardMaps {
  CUtensorMap q, k, v, slot_k, slot_v;
};

template <typename T>
struct ForwardArguments {
  int queries, slots, heads, group, tiles;
  TileOrder order;  // pairs: segment times heads plus head
  float scale;
  T* out;
  int64_t out_stride;
  float* lse;
  unsigned* next_tile;
};

template <typename T, int kD, int kSlotRows>
struct alignas(1024) ForwardMemory {
  T q[2][kD / kHalf][kQueries][kHalf];
  T k[kStages][kD / kHalf][kKeys][kHalf];
  T v[kStages][kD / kHalf][kKeys][kHalf];
  T slot_k[kD / kHalf][kSlotRows > 0 ? kSlotRows : 8][kHalf];
  T slot_v[kD / kHalf][kSlotRows > 0 ? kSlotRows : 8][kHalf];
  uint64_t q_full[2], q_empty[2], k_full[kStages], k_empty[kStages], v_full[kStages], v_empty[kStages];
  uint64_t slots_full, slots_empty;
  int tile[2];
};

// Running softmax of two rows: maximum (of scores before scaling) and this thread's part of the sum.
struct RowState {
  float maximum[2], sum[2];
};

// What scores are lowered by. A row whose scores are all -infinity so far has weights of 0, not of exp2(-inf + inf).
__device__ inline float shift_of(float maximum, float scale) {
  return maximum == -std::numeric_limits<float>::infinity() ? 0 : maximum * scale;
}

template <int kCount>
__device__ void take_maximum(const float (&s)[kCount], float (&maximum)[2]) {
#pragma unroll
  for (int i = 0; i < kCount; i += 4) {
    maximum[0] = fmaxf(maximum[0], fmaxf(s[i], s[i + 1]));
    maximum[1] = fmaxf(maximum[1], fmaxf(s[i + 2], s[i + 3]));
  }
}
// s = exp2(s scale - shift), added to sum.
template <int kCount>
__device__ void exponentials(float (&s)[kCount], float scale, const float (&shift)[2], float (&sum)[2]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) {
    s[i] = exp2_fast(fmaf(s[i], scale, -shift[i / 2 % 2]));
    sum[i / 2 % 2] += s[i];
  }
}
// s [64, N] = q [64, D] k [N, D]^T; rows of q are those of this warpgroup, halves of q lie kQueries rows apart.
template <typename T, int kD, int N>
__device__ void issue_scores(float (&s)[N / 2], const T* q, const T* k) {
  const uint64_t a = row_operand(q), b = row_operand(k);
#pragma unroll
  for (int i = 0; i < kD / 16; ++i)
    WarpgroupProduct<T, N>::template run<false, false>(s, advanced(a, i / 4 * kQueries * 128 + i % 4 * 32),
                                                       advanced(b, i / 4 * N * 128 + i % 4 * 32), i > 0);
}
// o [64, D] += p [64, kRows] v [kRows, D]
template <typename T, int kD, int kRows>
__device__ void issue_values(float (&o)[kD / 2], const unsigned (&p)[kRows / 4], const T* v, bool adds) {
  const uint64_t b = column_operand(v, kRows * 128);
#pragma unroll
  for (int i = 0; i < kRows / 16; ++i)
    WarpgroupProduct<T, kD>::template run<true>(o, p + 4 * i, advanced(b, i * 2048), adds || i > 0);
}

template <typename T, int kD, int kSlotRows>
__device__ void bring_tiles(ForwardMemory<T, kD, kSlotRows>& m, const ForwardMaps& maps, const ForwardArguments<T>& a) {
  constexpr unsigned kTileBytes = kKeys * kD * sizeof(T);
  Ring<2> q_ring;
  Ring<kStages> ring;
  unsigned slots_parity = 0;
  int t = blockIdx.x;
  while (true) {
    barrier_wait(&m.q_empty[q_ring.place], q_ring.parity ^ 1);
    if (t >= a.tiles) break;
    // Each block asks until it is refused, which is `tiles` times in all: then the counter is 0 again.
    const int next = static_cast<int>(gridDim.x + atomicInc(a.next_tile, static_cast<unsigned>(a.tiles) - 1));
    const Tile tile = tile_of(a.order, t);
    const int query_tile = a.order.tiles_of_pair - 1 - tile.number;  // the last one sees most keys
    const int segment = tile.pair / a.heads, head = tile.pair % a.heads;
    const int q_column = head * kD, kv_column = head / a.group * kD;
    m.tile[q_ring.place] = t;
    barrier_expect(&m.q_full[q_ring.place], kTileBytes);
#pragma unroll
    for (int h = 0; h < kD / kHalf; ++h)
      copy_box(m.q[q_ring.place][h], &maps.q, q_column + h * kHalf, query_tile * kQueries, segment,
               &m.q_full[q_ring.place]);
    q_ring.advance();
    for (int n = query_tile; n >= 0; --n) {
      const int row = a.slots + n * kKeys;
      barrier_wait(&m.k_empty[ring.place], ring.parity ^ 1);
      barrier_expect(&m.k_full[ring.place], kTileBytes);
#pragma unroll
      for (int h = 0; h < kD / kHalf; ++h)
        copy_box(m.k[ring.place][h], &maps.k, kv_column + h * kHalf, row, segment, &m.k_full[ring.place]);
      if (kSlotRows > 0 && n == query_tile) {
        barrier_wait(&m.slots_empty, slots_parity ^ 1);
        slots_parity ^= 1;
        barrier_expect(&m.slots_full, 2 * kSlotRows * kD * sizeof(T));
#pragma unroll
        for (int h = 0; h < kD / kHalf; ++h) {
          copy_box(m.slot_k[h], &maps.slot_k, kv_column + h * kHalf, 0, segment, &m.slots_full);
          copy_box(m.slot_v[h], &maps.slot_v, kv_column + h * kHalf, 0, segment, &m.slots_full);
        }
      }
      barrier_wait(&m.v_empty[ring.place], ring.parity ^ 1);
      barrier_expect(&m.v_full[ring.place], kTileBytes);
#pragma unroll
      for (int h = 0; h < kD / kHalf; ++h)
        copy_box(m.v[ring.place][h], &maps.v, kv_column + h * kHalf, row, segment, &m.v_full[ring.place]);
      ring.advance();
    }
    t = next;
  }
  m.tile[q_ring.place] = -1;
  barrier_arrive(&m.q_full[q_ring.place]);
}

template <typename T, int kD, int kSlotRows>
__device__ void attend(ForwardMemory<T, kD, kSlotRows>& m, const ForwardArguments<T>& a, int warpgroup) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x % kWarpgroup / 32;
  const int row = warpgroup * 64 + warp * 16 + lane / 4, column = lane % 4 * 2;  // of the tile
  const float scale = a.scale * kLog2e;
  const bool is_first_lane = lane == 0;
  Ring<2> q_ring;
  Ring<kStages> k_ring, v_ring;
  unsigned slots_parity = 0;
  if (warpgroup == 1) named_arrive(1, 2 * kWarpgroup);  // the other one may start

  while (true) {
    barrier_wait(&m.q_full[q_ring.place], q_ring.parity);
    const int t = m.tile[q_ring.place];
    if (t < 0) break;
    const Tile tile = tile_of(a.order, t);
    const int query_tile = a.order.tiles_of_pair - 1 - tile.number;  // the last one sees most keys
    const T* q = m.q[q_ring.place][0][warpgroup * 64];

    float s[kKeys / 2], o[kD / 2];
    unsigned p[kKeys / 4];
    RowState state;

    // The tile on the diagonal, and the slots.
    barrier_wait(&m.k_full[k_ring.place], k_ring.parity);
    named_sync(1 + warpgroup, 2 * kWarpgroup);
    fence_products();
    issue_scores<T, kD, kKeys>(s, q, m.k[k_ring.place][0][0]);
    {
      float slot_s[kSlotRows > 0 ? kSlotRows / 2 : 4];
      unsigned slot_p[kSlotRows > 0 ? kSlotRows / 4 : 2];
      if constexpr (kSlotRows > 0) {
        barrier_wait(&m.slots_full, slots_parity);
        fence_products();
        issue_scores<T, kD, kSlotRows>(slot_s, q, m.slot_k[0][0]);
      }
      commit_products();
      named_arrive(2 - warpgroup, 2 * kWarpgroup);
      wait_for_products<0>();
      hold(s);
      if (is_first_lane) barrier_arrive(&m.k_empty[k_ring.place]);
      k_ring.advance();
#pragma unroll
      for (int i = 0; i < kKeys / 2; ++i)
        if (i / 4 * 8 + column + i % 2 > row + i / 2 % 2 * 8) s[i] = -std::numeric_limits<float>::infinity();
      state.maximum[0] = state.maximum[1] = -std::numeric_limits<float>::infinity();
      state.sum[0] = state.sum[1] = 0;
      take_maximum(s, state.maximum);
      if constexpr (kSlotRows > 0) {
        hold(slot_s);
#pragma unroll
        for (int i = 0; i < kSlotRows / 2; ++i)
          if (i / 4 * 8 + column + i % 2 >= a.slots) slot_s[i] = -std::numeric_limits<float>::infinity();
        take_maximum(slot_s, state.maximum);
      }
      float shift[2];
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        state.maximum[r] = quad_max(state.maximum[r]);
        shift[r] = shift_of(state.maximum[r], scale);
      }
      if constexpr (kSlotRows > 0) {
        exponentials(slot_s, scale, shift, state.sum);
        pack_all<T>(slot_s, slot_p);
        fence_products();
        issue_values<T, kD, kSlotRows>(o, slot_p, m.slot_v[0][0], false);
        commit_products();
      }
      exponentials(s, scale, shift, state.sum);
      if constexpr (kSlotRows > 0) {
        wait_for_products<0>();
        hold(o);
        if (is_first_lane) barrier_arrive(&m.slots_empty);
        slots_parity ^= 1;
      }
      pack_all<T>(s, p);
    }
    bool adds = kSlotRows > 0;

    for (int n = query_tile - 1; n >= 0; --n) {
      barrier_wait(&m.k_full[k_ring.place], k_ring.parity);
      named_sync(1 + warpgroup, 2 * kWarpgroup);
      fence_products();
      issue_scores<T, kD, kKeys>(s, q, m.k[k_ring.place][0][0]);
      commit_products();
      barrier_wait(&m.v_full[v_ring.place], v_ring.parity);
      fence_products();
      issue_values<T, kD, kKeys>(o, p, m.v[v_ring.place][0][0], adds);
      commit_products();
      named_arrive(2 - warpgroup, 2 * kWarpgroup);
      adds = true;
      wait_for_products<1>();
      hold(s);
      if (is_first_lane) barrier_arrive(&m.k_empty[k_ring.place]);
      k_ring.advance();

      float maximum[2] = {state.maximum[0], state.maximum[1]}, factor[2] = {1, 1}, shift[2];
      take_maximum(s, maximum);
      bool grows = false;
#pragma unroll
      for (int r = 0; r < 2; ++r) {
        maximum[r] = quad_max(maximum[r]);
        grows |= (maximum[r] - state.maximum[r]) * scale > kGrowth;
      }
      const bool rescales = __any_sync(0xffffffffu, grows);
      if (rescales) {
#pragma unroll
        for (int r = 0; r < 2; ++r) {
          factor[r] = exp2_fast((state.maximum[r] - maximum[r]) * scale);
          state.maximum[r] = maximum[r];
          state.sum[r] *= factor[r];
        }
      }
      shift[0] = shift_of(state.maximum[0], scale);
      shift[1] = shift_of(state.maximum[1], scale);
      exponentials(s, scale, shift, state.sum);
      wait_for_products<0>();
      hold(o);
      if (is_first_lane) barrier_arrive(&m.v_empty[v_ring.place]);
      v_ring.advance();
      pack_all<T>(s, p);
      if (rescales) {
#pragma unroll
        for (int i = 0; i < kD / 2; ++i) o[i] *= factor[i / 2 % 2];
      }
    }
    if (is_first_lane) barrier_arrive(&m.q_empty[q_ring.place]);
    q_ring.advance();

    barrier_wait(&m.v_full[v_ring.place], v_ring.parity);
    named_sync(1 + warpgroup, 2 * kWarpgroup);
    fence_products();
    issue_values<T, kD, kKeys>(o, p, m.v[v_ring.place][0][0], adds);
    commit_products();
    named_arrive(2 - warpgroup, 2 * kWarpgroup);
    float factor[2];
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      state.sum[r] = quad_sum(state.sum[r]);
      factor[r] = 1 / state.sum[r];
    }
    wait_for_products<0>();
    hold(o);
    if (is_first_lane) barrier_arrive(&m.v_empty[v_ring.place]);
    v_ring.advance();

    const int segment = tile.pair / a.heads, head = tile.pair % a.heads;
#pragma unroll
    for (int r = 0; r < 2; ++r) {
      const int query = query_tile * kQueries + row + 8 * r;
      T* to = a.out + segment * a.out_stride + (static_cast<int64_t>(query) * a.heads + head) * kD;
      store_row<T, kD>(to, query < a.queries, [&](int j) {
        return packed<T>(o[4 * j + 2 * r] * factor[r], o[4 * j + 2 * r + 1] * factor[r]);
      });
      if (query < a.queries && lane % 4 == 0)
        a.lse[static_cast<int64_t>(tile.pair) * a.queries + query] = state.maximum[r] * a.scale + __logf(state.sum[r]);
    }
  }
}

template <typename T, int kD, int kSlotRows>
__global__ void __launch_bounds__(kThreads, 1)
    forward_kernel(const __grid_constant__ ForwardMaps maps, const __grid_constant__ ForwardArguments<T> a) {
  extern __shared__ char raw[];
  auto& m = *reinterpret_cast<ForwardMemory<T, kD, kSlotRows>*>(raw + aligned_offset(raw));
  if (threadIdx.x == 0) {
    ring_init(m.q_full, m.q_empty, kConsumerWarps);
    ring_init(m.k_full, m.k_empty, kConsumerWarps);
    ring_init(m.v_full, m.v_empty, kConsumerWarps);
    barrier_init(&m.slots_full, 1);
    barrier_init(&m.slots_empty, kConsumerWarps);
    fence_barrier_init();
  }
  __syncthreads();
  const int warpgroup = static_cast<int>(threadIdx.x) / kWarpgroup;
  if (warpgroup == 0) {
    keep_registers<40>();
    if (threadIdx.x == 0) bring_tiles(m, maps, a);
  } else {
    take_registers<232>();
    attend(m, a, warpgroup - 1);
  }
}

// -------------------------------------------------------------------------------------------------- on the host

// Heads of segments whose tiles are taken together: their keys and values fill two thirds of the second cache (50 MB).
int pairs_at_once(const HopperAttentionShape& s) {
  const int64_t bytes = 4 * (s.slots + s.queries) * s.head_dim * s.kv_heads / s.heads;
  return static_cast<int>(std::clamp<int64_t>((int64_t{34} << 20) / std::max<int64_t>(1, bytes), 8, 64));
}

template <typename T, int kD, int kSlotRows>
cudaError_t launch_forward(const HopperAttentionShape& s, const HopperForward& p, cudaStream_t stream) {
  if (map_encoder() == nullptr) return cudaErrorNotSupported;
  ForwardMaps maps;
  const int64_t keys = s.slots + s.queries, q_columns = s.heads * kD, kv_columns = s.kv_heads * kD;
  const int64_t kv_stride = keys * kv_columns;
  bool made = make_map<T>(maps.q, p.q.data, q_columns, s.queries, s.segments, p.q.stride, kQueries) &&
              make_map<T>(maps.k, p.k, kv_columns, keys, s.segments, kv_stride, kKeys) &&
              make_map<T>(maps.v, p.v, kv_columns, keys, s.segments, kv_stride, kKeys);
  constexpr int kBox = kSlotRows > 0 ? kSlotRows : 8;
  made = made && make_map<T>(maps.slot_k, p.k, kv_columns, keys, s.segments, kv_stride, kBox) &&
         make_map<T>(maps.slot_v, p.v, kv_columns, keys, s.segments, kv_stride, kBox);
  if (!made) return cudaErrorInvalidValue;

  const int pairs = static_cast<int>(s.segments * s.heads);
  const int query_tiles = static_cast<int>((s.queries + kQueries - 1) / kQueries);
  const ForwardArguments<T> a{static_cast<int>(s.queries),
                              static_cast<int>(s.slots),
                              static_cast<int>(s.heads),
                              static_cast<int>(s.heads / s.kv_heads),
                              pairs * query_tiles,
                              {pairs, pairs_at_once(s), query_tiles},
                              static_cast<float>(s.scale),
                              static_cast<T*>(p.out.data),
                              p.out.stride,
                              p.lse,
                              p.next_tile};
  return launch_persistent<ForwardMemory<T, kD, kSlotRows>>(forward_kernel<T, kD, kSlotRows>, kThreads, maps, a,
                                                            stream);
}

template <typename T, int kD>
cudaError_t launch_forward(const HopperAttentionShape& s, const HopperForward& p, cudaStream_t stream) {
  if (s.slots == 0) return launch_forward<T, kD, 0>(s, p, stream);
  if (s.slots <= 16) return launch_forward<T, kD, 16>(s, p, stream);
  if (s.slots <= kMaxHopperSlots) return launch_forward<T, kD, 32>(s, p, stream);
  return cudaErrorInvalidValue;
}

}  // namespace

cudaError_t launch_hopper_attention_forward(ElementType type, const HopperAttentionShape& shape, const HopperForward& p,
                                            cudaStream_t stream) {
  return dispatch_hopper(type, shape.head_dim, [&]<typename T, int kD>(T*, std::integral_constant<int, kD>) {
    return launch_forward<T, kD>(shape, p, stream);
  });
}

}  // namespace hici::ops::cuda
