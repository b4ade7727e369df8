// SPDX-License-Identifier: Apache-2.0
// Rows in float8_e4m3fn, each scaled by its largest magnitude. A block makes a row, and holds it in registers between
// the two; a row that is too wide for that is made twice.
#include "hici/ops/fp8_cuda.h"

#include "hici/ops/cuda_types.cuh"
#include "hici/ops/swiglu_cuda.cuh"

#include <cuda_fp8.h>

namespace hici::ops::cuda {
namespace {

constexpr int kPack = 8;           // elements of a thread in one move
constexpr int kMaxHeldPacks = 4;   // of a thread: rows of up to 32,768 elements
constexpr float kLargest = 448.f;  // of the type

template <typename T>
__device__ __forceinline__ void scaled(const Pack<T, kPack>& pack, const float* factor, int64_t column,
                                       float (&out)[kPack]) {
#pragma unroll
  for (int j = 0; j < kPack; ++j) out[j] = static_cast<float>(pack.at[j]);
  if (factor == nullptr) return;
  const auto by = load_pack<float, kPack>(factor + column);
#pragma unroll
  for (int j = 0; j < kPack; ++j) out[j] *= by.at[j];
}

// The largest of the block's values, known to all; a NaN counts as nothing and stays one when it is narrowed.
template <int kThreads>
__device__ float block_largest(float value) {
  __shared__ float partial[kThreads / 32];
  for (int offset = 16; offset > 0; offset /= 2) value = fmaxf(value, __shfl_xor_sync(0xffffffffu, value, offset));
  if (threadIdx.x % 32 == 0) partial[threadIdx.x / 32] = value;
  __syncthreads();
  float largest = partial[0];
#pragma unroll
  for (int i = 1; i < kThreads / 32; ++i) largest = fmaxf(largest, partial[i]);
  __syncthreads();  // before the next call writes `partial` again
  return largest;
}

__device__ __forceinline__ void raise_largest(const float (&values)[kPack], float& largest) {
#pragma unroll
  for (int j = 0; j < kPack; ++j) largest = fmaxf(largest, fabsf(values[j]));
}

__device__ __forceinline__ uint2 narrowed(const float (&values)[kPack], float inverse) {
  uint2 packed;
  auto* pairs = reinterpret_cast<__nv_fp8x2_storage_t*>(&packed);
#pragma unroll
  for (int j = 0; j < kPack; j += 2) {
    pairs[j / 2] =
        __nv_cvt_float2_to_fp8x2(make_float2(values[j] * inverse, values[j + 1] * inverse), __NV_SATFINITE, __NV_E4M3);
  }
  return packed;
}

// The row's scale, which one thread writes, as its inverse.
__device__ __forceinline__ float inverse_scale(float largest_of_row, float* scale) {
  const float bound = largest_of_row == 0.f ? kLargest : largest_of_row;
  if (threadIdx.x == 0) *scale = bound / kLargest;
  return kLargest / bound;
}

// What rows are made of: kOutputs packs for each place in a row.
template <typename T>
struct Tensor {
  using Element = T;
  static constexpr int kOutputs = 1;
  const T* x;

  __device__ __forceinline__ void make(int64_t at, Pack<T, kPack> (&out)[1]) const {
    out[0] = load_pack<T, kPack>(x + at);
  }
};

template <typename T>
struct SwiGlu {
  using Element = T;
  static constexpr int kOutputs = 1;
  const T *gate, *up;

  __device__ __forceinline__ void make(int64_t at, Pack<T, kPack> (&out)[1]) const {
    out[0] = swiglu_of(load_pack<T, kPack>(gate + at), load_pack<T, kPack>(up + at));
  }
};

template <typename T>
struct SwiGluGradients {
  using Element = T;
  static constexpr int kOutputs = 2;  // of gate and of up
  const T *dy, *gate, *up;

  __device__ __forceinline__ void make(int64_t at, Pack<T, kPack> (&out)[2]) const {
    swiglu_gradients(load_pack<T, kPack>(dy + at), load_pack<T, kPack>(gate + at), load_pack<T, kPack>(up + at), out[0],
                     out[1]);
  }
};

template <int kOutputs>
struct Outputs {
  QuantisedRows at[kOutputs];
};

__device__ __forceinline__ int64_t start_of_row(const QuantiseShape& shape, int64_t row) {
  return row / shape.length * shape.stride + row % shape.length * shape.width;
}

// Blocks that an SM shall hold at once: what registers are for. Measured for rows of 11,008 and 14,336.
template <typename Source, int kThreads>
inline constexpr int kBlocksOfSm = kThreads != 512         ? 1
                                   : Source::kOutputs == 1 ? 3
                                                           : 2;

// kPacks packs of a thread are a whole row.
template <typename Source, int kThreads, int kPacks>
__global__ void __launch_bounds__(kThreads, (kBlocksOfSm<Source, kThreads>))
    quantise_held_rows(QuantiseShape shape, Source source, Outputs<Source::kOutputs> outputs) {
  using T = typename Source::Element;
  constexpr int kOutputs = Source::kOutputs;
  const int64_t row = blockIdx.x, start = start_of_row(shape, row);
  const auto column_of = [](int i) {
    return static_cast<int64_t>(i * kThreads + static_cast<int>(threadIdx.x)) * kPack;
  };
  Pack<T, kPack> packs[kPacks][kOutputs];
#pragma unroll
  for (int i = 0; i < kPacks; ++i)
    if (column_of(i) < shape.width) source.make(start + column_of(i), packs[i]);
#pragma unroll
  for (int o = 0; o < kOutputs; ++o) {
    const QuantisedRows& out = outputs.at[o];
    float values[kPack], largest = 0.f;
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      if (column_of(i) >= shape.width) continue;
      scaled(packs[i][o], out.factor, column_of(i), values);
      raise_largest(values, largest);
    }
    const float inverse = inverse_scale(block_largest<kThreads>(largest), out.scale + row);
#pragma unroll
    for (int i = 0; i < kPacks; ++i) {
      if (column_of(i) >= shape.width) continue;
      scaled(packs[i][o], out.factor, column_of(i), values);
      static_cast<uint2*>(out.rows)[(row * shape.width + column_of(i)) / kPack] = narrowed(values, inverse);
    }
  }
}

template <typename Source, int kThreads>
__global__ void __launch_bounds__(kThreads)
    quantise_wide_rows(QuantiseShape shape, Source source, Outputs<Source::kOutputs> outputs) {
  using T = typename Source::Element;
  constexpr int kOutputs = Source::kOutputs;
  const int64_t row = blockIdx.x, start = start_of_row(shape, row);
  Pack<T, kPack> packs[kOutputs];
  float values[kPack];
  for (int o = 0; o < kOutputs; ++o) {
    const QuantisedRows& out = outputs.at[o];
    float largest = 0.f;
    for (int64_t column = threadIdx.x * kPack; column < shape.width; column += kThreads * kPack) {
      source.make(start + column, packs);
      scaled(packs[o], out.factor, column, values);
      raise_largest(values, largest);
    }
    const float inverse = inverse_scale(block_largest<kThreads>(largest), out.scale + row);
    for (int64_t column = threadIdx.x * kPack; column < shape.width; column += kThreads * kPack) {
      source.make(start + column, packs);
      scaled(packs[o], out.factor, column, values);
      static_cast<uint2*>(out.rows)[(row * shape.width + column) / kPack] = narrowed(values, inverse);
    }
  }
}

// The packs of a thread as a constant.
template <typename Source, int kThreads, int kPacks = 1>
void launch_for_packs(int64_t packs, const QuantiseShape& shape, const Source& source,
                      const Outputs<Source::kOutputs>& outputs, cudaStream_t stream) {
  const auto rows = static_cast<unsigned>(shape.segments * shape.length);
  if constexpr (kPacks > kMaxHeldPacks) {
    quantise_wide_rows<Source, kThreads><<<rows, kThreads, 0, stream>>>(shape, source, outputs);
  } else if (packs == kPacks) {
    quantise_held_rows<Source, kThreads, kPacks><<<rows, kThreads, 0, stream>>>(shape, source, outputs);
  } else {
    launch_for_packs<Source, kThreads, kPacks + 1>(packs, shape, source, outputs, stream);
  }
}

// A block of `kThreads`.
template <typename Source, int kThreads>
void launch(const QuantiseShape& shape, const Source& source, const Outputs<Source::kOutputs>& outputs,
            cudaStream_t stream) {
  constexpr int64_t kOfPack = int64_t{kThreads} * kPack;
  launch_for_packs<Source, kThreads>((shape.width + kOfPack - 1) / kOfPack, shape, source, outputs, stream);
}

template <typename Source>
cudaError_t quantise(const QuantiseShape& shape, const Source& source, const Outputs<Source::kOutputs>& outputs,
                     cudaStream_t stream) {
  if (shape.segments * shape.length == 0) return cudaSuccess;
  if (shape.width % kPack != 0 || shape.stride % kPack != 0) return cudaErrorInvalidValue;
  // Two packs a thread, where the row has as many.
  if (shape.width <= 4096) {
    launch<Source, 256>(shape, source, outputs, stream);
  } else if (shape.width <= 16384) {
    launch<Source, 512>(shape, source, outputs, stream);
  } else {
    launch<Source, 1024>(shape, source, outputs, stream);
  }
  return cudaGetLastError();
}

}  // namespace

cudaError_t launch_quantise_rows(ElementType type, const QuantiseShape& shape, const void* x, const QuantisedRows& out,
                                 cudaStream_t stream) {
  if (!is_packable(x)) return cudaErrorInvalidValue;
  return dispatch(type, [&](auto* tag) {
    using T = std::remove_pointer_t<decltype(tag)>;
    return quantise(shape, Tensor<T>{static_cast<const T*>(x)}, {{out}}, stream);
  });
}

cudaError_t launch_quantise_swiglu(ElementType type, const QuantiseShape& shape, const void* gate, const void* up,
                                   const QuantisedRows& out, cudaStream_t stream) {
  if (type != ElementType::kBFloat16 || !is_packable(gate) || !is_packable(up)) return cudaErrorInvalidValue;
  using T = __nv_bfloat16;
  return quantise(shape, SwiGlu<T>{static_cast<const T*>(gate), static_cast<const T*>(up)}, {{out}}, stream);
}

cudaError_t launch_quantise_swiglu_backward(ElementType type, const QuantiseShape& shape, const void* dy,
                                            const void* gate, const void* up, const QuantisedRows& dgate,
                                            const QuantisedRows& dup, cudaStream_t stream) {
  if (type != ElementType::kBFloat16 || !is_packable(dy) || !is_packable(gate) || !is_packable(up))
    return cudaErrorInvalidValue;
  using T = __nv_bfloat16;
  return quantise(shape,
                  SwiGluGradients<T>{static_cast<const T*>(dy), static_cast<const T*>(gate), static_cast<const T*>(up)},
                  {{dgate, dup}}, stream);
}

}  // namespace hici::ops::cuda
