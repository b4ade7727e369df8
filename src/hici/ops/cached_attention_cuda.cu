// SPDX-License-Identifier: Apache-2.0
// Decode attention: one query over a long KV cache. The cost is reading every key and value once, with the whole card.
// The rows are split between blocks. A block has one k/v head and all of its query heads, and writes a partial
// attention with its log-sum-exp; a second kernel merges the partial results. The grid depends on shapes, the rows of a
// split on the length, so a recorded launch stays valid as the cache fills.
#include "hici/ops/cached_attention_cuda.h"

#include "hici/ops/cuda_copies.cuh"
#include "hici/ops/cuda_types.cuh"
#include "hici/ops/decode_attention_rows.cuh"

#include <algorithm>

namespace hici::ops::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kRowsAtOnce = 2;  // of one team
constexpr int kStages = 4;      // so many times that are under way or worked on: enough bytes in flight
constexpr int64_t kRowsPerSplit = 64;
constexpr int64_t kBlocksWanted = 528;  // four per SM of a Hopper card

// A team is `lanes` threads that share a row: each has kPackSize elements of it. The teams of a block take turns.
struct Team {
  int lanes, lane, teams, team;

  explicit __device__ Team(int lanes_of_row)
      : lanes(lanes_of_row),
        lane(static_cast<int>(threadIdx.x) % lanes_of_row),
        teams(kThreads / lanes_of_row),
        team(static_cast<int>(threadIdx.x) / lanes_of_row) {}
};

// Keys and values on their way to shared memory, kRowsAtOnce rows of each team at a time.
template <typename T>
struct RowCopies {
  using RowPack = Pack<T, kPackSize<T>>;
  const T *k, *v;  // of row 0, this thread's elements
  int64_t row_stride;
  RowPack* slots;

  __device__ RowPack* slot(int stage, int r, int which) const {
    return slots + ((stage * kRowsAtOnce + r) * 2 + which) * kThreads + threadIdx.x;
  }
  __device__ __forceinline__ void fetch(const Team& t, int64_t base, int64_t last, int stage) const {
    if (base < last) {
#pragma unroll
      for (int r = 0; r < kRowsAtOnce; ++r) {
        const int64_t row = min(base + r * t.teams + t.team, last - 1);  // beyond the end: any row, without weight
        copy_async(slot(stage, r, 0), k + row * row_stride);
        copy_async(slot(stage, r, 1), v + row * row_stride);
      }
    }
    commit_copies();
  }
};

// The online softmax of all query heads over the rows of this thread's team: running maximum, denominator and weighted
// sum.
template <typename T, int kHeads>
struct OnlineSoftmax {
  static constexpr int N = kPackSize<T>;
  float query[kHeads][N], accumulator[kHeads][N], max_score[kHeads], denominator[kHeads];

  __device__ __forceinline__ OnlineSoftmax() {
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      max_score[h] = kEmptyMax;
      denominator[h] = 0;
#pragma unroll
      for (int j = 0; j < N; ++j) accumulator[h][j] = 0;
    }
  }

  __device__ __forceinline__ void load_query(const T* q, int64_t head_dim, float scale) {
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      const Pack<T, N> pack = load_pack<T, N>(q + h * head_dim);
#pragma unroll
      for (int j = 0; j < N; ++j) query[h][j] = static_cast<float>(pack.at[j]) * scale;
    }
  }

  // All threads of a warp: shuffles want them.
  __device__ __forceinline__ float score(int h, const Pack<T, N>& key, int lanes) const {
    float sum = 0;
#pragma unroll
    for (int j = 0; j < N; ++j) sum += query[h][j] * static_cast<float>(key.at[j]);
    for (int step = lanes / 2; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
    return sum;
  }

  __device__ __forceinline__ void raise_max(int h, float best) {
    const float shrink = __expf(max_score[h] - best);
    max_score[h] = best;
    denominator[h] *= shrink;
#pragma unroll
    for (int j = 0; j < N; ++j) accumulator[h][j] *= shrink;
  }

  __device__ __forceinline__ void add(const Pack<T, N> (&keys)[kRowsAtOnce], const Pack<T, N> (&values)[kRowsAtOnce],
                                      const bool (&counts)[kRowsAtOnce], int lanes) {
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      float scores[kRowsAtOnce], best = max_score[h];
#pragma unroll
      for (int r = 0; r < kRowsAtOnce; ++r) {
        const float of_row = score(h, keys[r], lanes);
        scores[r] = counts[r] ? of_row : kEmptyMax;
        best = fmaxf(best, scores[r]);
      }
      raise_max(h, best);
#pragma unroll
      for (int r = 0; r < kRowsAtOnce; ++r) {
        const float weight = counts[r] ? __expf(scores[r] - best) : 0.0f;
        denominator[h] += weight;
#pragma unroll
        for (int j = 0; j < N; ++j) accumulator[h][j] += weight * static_cast<float>(values[r].at[j]);
      }
    }
  }
};

// The bounds are those of the whole block: shuffles want all threads of a warp.
template <typename T, int kHeads>
__device__ __forceinline__ void read_rows(OnlineSoftmax<T, kHeads>& softmax, const RowCopies<T>& copies, const Team& t,
                                          const Rows& rows) {
  using RowPack = typename RowCopies<T>::RowPack;
  const int64_t step = t.teams * kRowsAtOnce;
#pragma unroll
  for (int stage = 0; stage < kStages - 1; ++stage) copies.fetch(t, rows.first + stage * step, rows.last, stage);
  int stage = 0;
  for (int64_t base = rows.first; base < rows.last; base += step, stage = (stage + 1) % kStages) {
    wait_for_copies<kStages - 2>();
    RowPack keys[kRowsAtOnce], values[kRowsAtOnce];
    bool counts[kRowsAtOnce];
#pragma unroll
    for (int r = 0; r < kRowsAtOnce; ++r) {
      keys[r] = *copies.slot(stage, r, 0);
      values[r] = *copies.slot(stage, r, 1);
      counts[r] = base + r * t.teams + t.team < rows.last;
    }
    copies.fetch(t, base + (kStages - 1) * step, rows.last, (stage + kStages - 1) % kStages);
    softmax.add(keys, values, counts, t.lanes);
  }
  wait_for_copies<0>();
}

// The teams' parts of one query head, in shared memory that the copies are done with.
struct TeamPartials {
  float *max_score, *denominator;  // [teams]
  float* accumulator;              // [teams, head_dim]
  int teams, width;

  __device__ TeamPartials(float* shared, const Team& t, int64_t head_dim)
      : max_score(shared),
        denominator(shared + t.teams),
        accumulator(shared + 2 * t.teams),
        teams(t.teams),
        width(static_cast<int>(head_dim)) {}

  template <typename T, int kHeads>
  __device__ __forceinline__ void put(const Team& t, const OnlineSoftmax<T, kHeads>& softmax, int h) const {
    constexpr int N = kPackSize<T>;
#pragma unroll
    for (int candidate = 0; candidate < kHeads; ++candidate) {  // registers have no index that is not a constant
      if (candidate != h) continue;
      if (t.lane == 0) {
        max_score[t.team] = softmax.max_score[candidate];
        denominator[t.team] = softmax.denominator[candidate];
      }
#pragma unroll
      for (int j = 0; j < N; ++j) accumulator[t.team * width + t.lane * N + j] = softmax.accumulator[candidate][j];
    }
  }

  __device__ __forceinline__ void merge_into(float* partial, float* partial_lse) const {
    float best = kEmptyMax, sum = 0;
    for (int t = 0; t < teams; ++t) best = fmaxf(best, max_score[t]);
    for (int t = 0; t < teams; ++t) sum += denominator[t] * __expf(max_score[t] - best);
    for (int d = static_cast<int>(threadIdx.x); d < width; d += kThreads) {
      float value = 0;
      for (int t = 0; t < teams; ++t) value += accumulator[t * width + d] * __expf(max_score[t] - best);
      partial[d] = sum > 0 ? value / sum : 0.0f;
    }
    if (threadIdx.x == 0) *partial_lse = sum > 0 ? best + __logf(sum) : kEmptyMax;
  }
};

// Each block has a split of the rows, one k/v head and its query heads. The few blocks whose rows are of several
// distances begin anew for each, with the query that is rotated for it.
template <typename T, int kHeads>
__global__ void __launch_bounds__(kThreads) decode_partial(DecodeShape shape, DecodePointers p, int lanes) {
  extern __shared__ float shared[];
  const Team t(lanes);
  const int64_t split = blockIdx.x, kv_head = blockIdx.y, b = blockIdx.z, head = b * shape.heads + kv_head * kHeads;
  const int64_t length = p.lengths[b];
  const Rows block = rows_of_split(shape, length, split);
  const int64_t mine = t.lane * kPackSize<T>, offset = kv_head * shape.head_dim + mine;
  const RowCopies<T> copies{static_cast<const T*>(p.k) + b * shape.k_stride + offset,
                            static_cast<const T*>(p.v) + b * shape.v_stride + offset, shape.kv_heads * shape.head_dim,
                            reinterpret_cast<typename RowCopies<T>::RowPack*>(shared)};
  const T* q = static_cast<const T*>(p.q) + head * shape.head_dim + mine;

  OnlineSoftmax<T, kHeads> softmax;
  const int64_t query_chunk = (length - 1) / shape.chunk_len;
  for (int64_t distance = 0; distance < shape.distances; ++distance) {
    const Rows rows = rows_at(distance, shape, query_chunk, block);
    if (!rows.any()) continue;
    softmax.load_query(q + distance * shape.batch * shape.heads * shape.head_dim, shape.head_dim,
                       static_cast<float>(p.scale));
    read_rows(softmax, copies, t, rows);
  }

  const TeamPartials partials(shared, t, shape.head_dim);
  for (int h = 0; h < kHeads; ++h) {
    __syncthreads();
    partials.put(t, softmax, h);
    __syncthreads();
    const int64_t place = (head + h) * shape.splits + split;
    partials.merge_into(p.partial + place * shape.head_dim, p.partial_lse + place);
  }
}

// A block for each query head of each sequence; a thread for each element.
template <typename T>
__global__ void decode_merge(DecodeShape shape, DecodePointers p) {
  __shared__ float weights[kMaxDecodeSplits];
  const int64_t place = static_cast<int64_t>(blockIdx.y) * shape.heads + blockIdx.x;
  const int splits = static_cast<int>(shape.splits), thread = static_cast<int>(threadIdx.x);
  const int threads = static_cast<int>(blockDim.x);
  for (int s = thread; s < splits; s += threads) weights[s] = p.partial_lse[place * splits + s];
  __syncthreads();
  float best = kEmptyMax, total = 0, value = 0;
  for (int s = 0; s < splits; ++s) best = fmaxf(best, weights[s]);
  __syncthreads();
  for (int s = thread; s < splits; s += threads) weights[s] = weights[s] > kEmptyMax ? __expf(weights[s] - best) : 0.0f;
  __syncthreads();
  const float* partial = p.partial + place * splits * shape.head_dim + thread;
#pragma unroll 8
  for (int s = 0; s < splits; ++s) {
    total += weights[s];
    value += weights[s] * partial[s * shape.head_dim];
  }
  static_cast<T*>(p.out)[place * shape.head_dim + thread] = static_cast<T>(value / total);
}

// A block for each row, of keys (blockIdx.y 0) or of values.
__global__ void write_cache_rows(CacheRowsShape shape, const int64_t* rows, const uint4* k, const uint4* v,
                                 uint4* k_cache, uint4* v_cache) {
  const uint4* from = (blockIdx.y == 0 ? k : v) + blockIdx.x * shape.packs;
  uint4* to = (blockIdx.y == 0 ? k_cache : v_cache) + rows[blockIdx.x] * shape.packs;
  for (int64_t i = threadIdx.x; i < shape.packs; i += blockDim.x) to[i] = from[i];
}

template <typename T, int kHeads>
void launch_partial(const DecodeShape& shape, const DecodePointers& p, cudaStream_t stream) {
  const int lanes = static_cast<int>(shape.head_dim) / kPackSize<T>, teams = kThreads / lanes;
  const dim3 grid(static_cast<unsigned>(shape.splits), static_cast<unsigned>(shape.kv_heads),
                  static_cast<unsigned>(shape.batch));
  const size_t copies = 16 * size_t{2} * kRowsAtOnce * kStages * kThreads;
  const size_t shared_bytes =
      std::max(copies, sizeof(float) * static_cast<size_t>(teams) * static_cast<size_t>(shape.head_dim + 2));
  decode_partial<T, kHeads><<<grid, kThreads, shared_bytes, stream>>>(shape, p, lanes);
}

// The query heads of a k/v head as a constant.
template <typename T, int kHeads = 1>
bool launch_for_heads(int64_t heads, const DecodeShape& shape, const DecodePointers& p, cudaStream_t stream) {
  if (heads == kHeads) {
    launch_partial<T, kHeads>(shape, p, stream);
    return true;
  }
  if constexpr (kHeads < kMaxDecodeHeads) return launch_for_heads<T, kHeads + 1>(heads, shape, p, stream);
  return false;
}

template <typename T>
cudaError_t decode(ElementType type, const DecodeShape& shape, const DecodePointers& p, cudaStream_t stream) {
  if (shape.splits > kMaxDecodeSplits) return cudaErrorInvalidValue;
  cudaError_t status = cudaSuccess;
  if (decode_uses_mma(type, shape)) {
    status = launch_decode_partial_mma(type, shape, p, stream);
  } else {
    if (!launch_for_heads<T>(shape.heads / shape.kv_heads, shape, p, stream)) return cudaErrorInvalidValue;
    status = cudaGetLastError();
  }
  if (status != cudaSuccess) return status;
  const dim3 grid(static_cast<unsigned>(shape.heads), static_cast<unsigned>(shape.batch));
  decode_merge<T><<<grid, static_cast<unsigned>(shape.head_dim), 0, stream>>>(shape, p);
  return cudaGetLastError();
}

}  // namespace

int64_t decode_splits(ElementType type, const DecodeShape& shape) {
  const int64_t blocks = shape.batch * shape.kv_heads;
  if (decode_uses_mma(type, shape)) return decode_splits_mma(shape.batch, shape.kv_heads, shape.rows);
  return std::clamp((shape.rows + kRowsPerSplit - 1) / kRowsPerSplit, int64_t{1},
                    (kBlocksWanted + blocks - 1) / blocks);
}

cudaError_t launch_write_cache_rows(const CacheRowsShape& shape, const int64_t* rows, const void* k, const void* v,
                                    void* k_cache, void* v_cache, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(shape.count), 2);
  write_cache_rows<<<grid, kThreads, 0, stream>>>(shape, rows, static_cast<const uint4*>(k),
                                                  static_cast<const uint4*>(v), static_cast<uint4*>(k_cache),
                                                  static_cast<uint4*>(v_cache));
  return cudaGetLastError();
}

cudaError_t launch_decode_attention(ElementType type, const DecodeShape& shape, const DecodePointers& p,
                                    cudaStream_t stream) {
  switch (type) {
    case ElementType::kFloat32:
      return decode<float>(type, shape, p, stream);
    case ElementType::kBFloat16:
      return decode<__nv_bfloat16>(type, shape, p, stream);
    case ElementType::kFloat16:
      return decode<__half>(type, shape, p, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace hici::ops::cuda
