// SPDX-License-Identifier: Apache-2.0
// Softmax over the vocabulary, a block for each token: one pass over the logits for maximum, sum and argmax together,
// and one to write the gradient over them.
#include "hici/ops/linear_cross_entropy_cuda.h"

#include "hici/ops/cuda_types.cuh"

#include <cfloat>

namespace hici::ops::cuda {
namespace {

constexpr int kThreads = 512;
constexpr int kWarps = kThreads / 32;

// A part of a row: its maximum and where that is (the first of equals), and the sum of exp(x - maximum).
struct Partial {
  float max, sum;
  int64_t argmax;
};

__device__ Partial merge(const Partial& a, const Partial& b) {
  const bool a_leads = a.max > b.max || (a.max == b.max && a.argmax < b.argmax);
  const Partial &high = a_leads ? a : b, &low = a_leads ? b : a;
  return {high.max, high.sum + low.sum * expf(low.max - high.max), high.argmax};
}

__device__ Partial merge_block(Partial mine) {
  __shared__ Partial partials[kWarps];
  for (int offset = 16; offset > 0; offset /= 2) {
    const Partial other{__shfl_xor_sync(0xffffffffu, mine.max, offset), __shfl_xor_sync(0xffffffffu, mine.sum, offset),
                        __shfl_xor_sync(0xffffffffu, mine.argmax, offset)};
    mine = merge(mine, other);
  }
  if (threadIdx.x % 32 == 0) partials[threadIdx.x / 32] = mine;
  __syncthreads();
  Partial whole = partials[0];
  for (int i = 1; i < kWarps; ++i) whole = merge(whole, partials[i]);
  return whole;
}

template <typename T, int N>
__device__ Partial read_row(const T* row, int64_t vocabulary) {
  Partial mine{-FLT_MAX, 0, vocabulary};
  for (int64_t i = threadIdx.x * N; i < vocabulary; i += kThreads * N) {
    const Pack<T, N> pack = load_pack<T, N>(row + i);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float x = static_cast<float>(pack.at[j]);
      if (x > mine.max) {
        mine.sum = mine.sum * expf(mine.max - x) + 1;
        mine.max = x;
        mine.argmax = i + j;
      } else {
        mine.sum += expf(x - mine.max);
      }
    }
  }
  return merge_block(mine);
}

template <typename T, int N>
__global__ void cross_entropy(int64_t vocabulary, int64_t ignored, T* logits, const int64_t* labels, float* losses) {
  T* row = logits + blockIdx.x * vocabulary;
  const int64_t label = labels[blockIdx.x];
  const bool counts = label != ignored;
  const Partial whole = read_row<T, N>(row, vocabulary);
  const float normaliser = whole.max + logf(whole.sum);
  if (threadIdx.x == 0) losses[blockIdx.x] = counts ? normaliser - static_cast<float>(row[label]) : 0.0f;
  __syncthreads();  // the label's logit was read before it is written over
  for (int64_t i = threadIdx.x * N; i < vocabulary; i += kThreads * N) {
    Pack<T, N> pack = load_pack<T, N>(row + i);
#pragma unroll
    for (int j = 0; j < N; ++j) {
      const float probability = expf(static_cast<float>(pack.at[j]) - normaliser);
      pack.at[j] = static_cast<T>(counts ? probability - (i + j == label ? 1.0f : 0.0f) : 0.0f);
    }
    store_pack(row + i, pack);
  }
}

template <typename T, int N>
__global__ void token_scores(int64_t vocabulary, const T* logits, const int64_t* targets, float* log_likelihood,
                             int64_t* argmax) {
  const T* row = logits + blockIdx.x * vocabulary;
  const Partial whole = read_row<T, N>(row, vocabulary);
  if (threadIdx.x != 0) return;
  log_likelihood[blockIdx.x] = static_cast<float>(row[targets[blockIdx.x]]) - whole.max - logf(whole.sum);
  argmax[blockIdx.x] = whole.argmax;
}

template <typename T>
bool packs(const LogitsShape& shape, const void* logits) {
  return shape.vocabulary % kPackSize<T> == 0 && is_packable(logits);
}

}  // namespace

cudaError_t launch_cross_entropy(ElementType type, LogitsShape shape, int64_t ignored, void* logits,
                                 const int64_t* labels, float* losses, cudaStream_t stream) {
  return dispatch(type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    auto* kernel = packs<T>(shape, logits) ? cross_entropy<T, kPackSize<T>> : cross_entropy<T, 1>;
    kernel<<<static_cast<unsigned>(shape.tokens), kThreads, 0, stream>>>(shape.vocabulary, ignored,
                                                                         static_cast<T*>(logits), labels, losses);
    return cudaGetLastError();
  });
}

cudaError_t launch_token_scores(ElementType type, LogitsShape shape, const void* logits, const int64_t* targets,
                                float* log_likelihood, int64_t* argmax, cudaStream_t stream) {
  return dispatch(type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    auto* kernel = packs<T>(shape, logits) ? token_scores<T, kPackSize<T>> : token_scores<T, 1>;
    kernel<<<static_cast<unsigned>(shape.tokens), kThreads, 0, stream>>>(
        shape.vocabulary, static_cast<const T*>(logits), targets, log_likelihood, argmax);
    return cudaGetLastError();
  });
}

}  // namespace hici::ops::cuda
