// SPDX-License-Identifier: Apache-2.0
// Attention of one query over a long cache, where all that counts is to read every key and value once, with all of the
// card. The rows are split between blocks; a block has one k/v head and all query heads that read it, and leaves its
// softmax's part with its log-sum-exp; a second kernel joins the parts. The grid depends on shapes alone, how many rows
// a split has on the length, so that a recorded launch stays right as the cache fills.
#include "hici/ops/cuda_types.cuh"

#include <algorithm>

namespace hici::ops::cuda {
namespace {

constexpr int kThreads = 128;
constexpr int kRowsAtOnce = 2;  // of one team
constexpr int kStages = 4;      // so many times that are under way or worked on: enough bytes in flight
constexpr int64_t kRowsOfASplit = 64;
constexpr int64_t kBlocksWanted = 528;  // four for each multiprocessor of a Hopper card
constexpr float kNothing = -1e30f;      // a maximum over no row; finite, so that differences are

// 16 bytes to shared memory, past the registers; a thread reads what it copied itself, so that nobody else is waited
// for.
__device__ void copy_beside(void* to, const void* from) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;"
               :
               : "r"(static_cast<unsigned>(__cvta_generic_to_shared(to))), "l"(from)
               : "memory");
}
__device__ void end_of_copies() { asm volatile("cp.async.commit_group;" : : : "memory"); }
// All but the last `kLater` groups of copies are there.
template <int kLater>
__device__ void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" : : "n"(kLater) : "memory");
}

// A team is `lanes` threads that share a row: each has kPackSize elements of it. The teams of a block take turns.
template <typename T, int kHeads>
__global__ void __launch_bounds__(kThreads) decode_partial(DecodeShape shape, DecodePointers p, int lanes) {
  constexpr int N = kPackSize<T>;
  const int lane = static_cast<int>(threadIdx.x) % lanes, team = static_cast<int>(threadIdx.x) / lanes,
            teams = kThreads / lanes;
  const int64_t split = blockIdx.x, kv_head = blockIdx.y, b = blockIdx.z;
  const int64_t length = p.lengths[b], each = (length + shape.splits - 1) / shape.splits;
  const int64_t first = split * each, last = min(first + each, length);
  const int64_t row_stride = shape.kv_heads * shape.head_dim, offset = kv_head * shape.head_dim + lane * N;
  const T* k = static_cast<const T*>(p.k) + b * shape.k_stride + offset;
  const T* v = static_cast<const T*>(p.v) + b * shape.v_stride + offset;
  const T* q = static_cast<const T*>(p.q) + (b * shape.heads + kv_head * kHeads) * shape.head_dim + lane * N;

  float query[kHeads][N], read[kHeads][N] = {}, top[kHeads], total[kHeads] = {};
#pragma unroll
  for (int h = 0; h < kHeads; ++h) {
    const Pack<T, N> pack = load_pack<T, N>(q + h * shape.head_dim);
    top[h] = kNothing;
#pragma unroll
    for (int j = 0; j < N; ++j) query[h][j] = static_cast<float>(pack.at[j]) * static_cast<float>(p.scale);
  }

  extern __shared__ float shared[];
  const int64_t step = teams * kRowsAtOnce;
  auto slot = [&](int stage, int r, int which) {
    return reinterpret_cast<Pack<T, N>*>(shared) + ((stage * kRowsAtOnce + r) * 2 + which) * kThreads + threadIdx.x;
  };
  auto fetch = [&](int64_t base, int stage) {
    if (base < last) {
#pragma unroll
      for (int r = 0; r < kRowsAtOnce; ++r) {
        const int64_t row = min(base + r * teams + team, last - 1);  // beyond the end: any row, without weight
        copy_beside(slot(stage, r, 0), k + row * row_stride);
        copy_beside(slot(stage, r, 1), v + row * row_stride);
      }
    }
    end_of_copies();
  };
#pragma unroll
  for (int stage = 0; stage < kStages - 1; ++stage) fetch(first + stage * step, stage);

  // The bounds are those of the whole block: shuffles want all threads of a warp.
  int stage = 0;
  for (int64_t base = first; base < last; base += step, stage = (stage + 1) % kStages) {
    wait_for_copies<kStages - 2>();
    Pack<T, N> keys[kRowsAtOnce], values[kRowsAtOnce];
#pragma unroll
    for (int r = 0; r < kRowsAtOnce; ++r) keys[r] = *slot(stage, r, 0), values[r] = *slot(stage, r, 1);
    fetch(base + (kStages - 1) * step, (stage + kStages - 1) % kStages);
#pragma unroll
    for (int h = 0; h < kHeads; ++h) {
      float score[kRowsAtOnce], best = top[h];
#pragma unroll
      for (int r = 0; r < kRowsAtOnce; ++r) {
        float sum = 0;
#pragma unroll
        for (int j = 0; j < N; ++j) sum += query[h][j] * static_cast<float>(keys[r].at[j]);
        for (int step = lanes / 2; step > 0; step /= 2) sum += __shfl_xor_sync(0xffffffffu, sum, step);
        score[r] = base + r * teams + team < last ? sum : kNothing;
        best = fmaxf(best, score[r]);
      }
      const float shrink = __expf(top[h] - best);
      top[h] = best;
      total[h] *= shrink;
#pragma unroll
      for (int j = 0; j < N; ++j) read[h][j] *= shrink;
#pragma unroll
      for (int r = 0; r < kRowsAtOnce; ++r) {
        const float weight = base + r * teams + team < last ? __expf(score[r] - best) : 0.0f;
        total[h] += weight;
#pragma unroll
        for (int j = 0; j < N; ++j) read[h][j] += weight * static_cast<float>(values[r].at[j]);
      }
    }
  }

  // The teams' parts, one query head after the other, through shared memory, which the copies are done with.
  wait_for_copies<0>();
  float* team_top = shared;               // [teams]
  float* team_total = shared + teams;     // [teams]
  float* team_read = shared + 2 * teams;  // [teams, head_dim]
  const auto width = static_cast<int>(shape.head_dim);
  for (int h = 0; h < kHeads; ++h) {
    __syncthreads();
#pragma unroll
    for (int candidate = 0; candidate < kHeads; ++candidate) {  // registers have no index that is not a constant
      if (candidate != h) continue;
      if (lane == 0) {
        team_top[team] = top[candidate];
        team_total[team] = total[candidate];
      }
#pragma unroll
      for (int j = 0; j < N; ++j) team_read[team * width + lane * N + j] = read[candidate][j];
    }
    __syncthreads();
    float best = kNothing, sum = 0;
    for (int t = 0; t < teams; ++t) best = fmaxf(best, team_top[t]);
    for (int t = 0; t < teams; ++t) sum += team_total[t] * __expf(team_top[t] - best);
    const int64_t place = (b * shape.heads + kv_head * kHeads + h) * shape.splits + split;
    for (int d = static_cast<int>(threadIdx.x); d < width; d += kThreads) {
      float value = 0;
      for (int t = 0; t < teams; ++t) value += team_read[t * width + d] * __expf(team_top[t] - best);
      p.partial[place * width + d] = sum > 0 ? value / sum : 0.0f;
    }
    if (threadIdx.x == 0) p.partial_lse[place] = sum > 0 ? best + __logf(sum) : kNothing;
  }
}

// A block for each query head of each sequence; a thread for each element.
template <typename T>
__global__ void decode_join(DecodeShape shape, DecodePointers p) {
  const int64_t place = static_cast<int64_t>(blockIdx.y) * shape.heads + blockIdx.x;
  const float* lse = p.partial_lse + place * shape.splits;
  const float* partial = p.partial + place * shape.splits * shape.head_dim + threadIdx.x;
  float best = kNothing, total = 0, value = 0;
  for (int64_t s = 0; s < shape.splits; ++s) best = fmaxf(best, lse[s]);
  for (int64_t s = 0; s < shape.splits; ++s) {
    const float weight = lse[s] > kNothing ? __expf(lse[s] - best) : 0.0f;
    total += weight;
    value += weight * partial[s * shape.head_dim];
  }
  static_cast<T*>(p.out)[place * shape.head_dim + threadIdx.x] = static_cast<T>(value / total);
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
  if constexpr (kHeads < kMostDecodeHeads) return launch_for_heads<T, kHeads + 1>(heads, shape, p, stream);
  return false;
}

template <typename T>
cudaError_t decode(const DecodeShape& shape, const DecodePointers& p, cudaStream_t stream) {
  if (!launch_for_heads<T>(shape.heads / shape.kv_heads, shape, p, stream)) return cudaErrorInvalidValue;
  const cudaError_t status = cudaGetLastError();
  if (status != cudaSuccess) return status;
  const dim3 grid(static_cast<unsigned>(shape.heads), static_cast<unsigned>(shape.batch));
  decode_join<T><<<grid, static_cast<unsigned>(shape.head_dim), 0, stream>>>(shape, p);
  return cudaGetLastError();
}

}  // namespace

int64_t decode_splits(int64_t batch, int64_t kv_heads, int64_t rows) {
  const int64_t wanted = (kBlocksWanted + batch * kv_heads - 1) / (batch * kv_heads);
  return std::clamp((rows + kRowsOfASplit - 1) / kRowsOfASplit, int64_t{1}, wanted);
}

cudaError_t launch_decode_attention(ElementType type, const DecodeShape& shape, const DecodePointers& p,
                                    cudaStream_t stream) {
  switch (type) {
    case ElementType::kFloat32:
      return decode<float>(shape, p, stream);
    case ElementType::kBFloat16:
      return decode<__nv_bfloat16>(shape, p, stream);
    case ElementType::kFloat16:
      return decode<__half>(shape, p, stream);
    default:
      return cudaErrorInvalidValue;
  }
}

}  // namespace hici::ops::cuda
