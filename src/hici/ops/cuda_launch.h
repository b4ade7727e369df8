// SPDX-License-Identifier: Apache-2.0
// Launchers of the CUDA kernels, on raw pointers: the .cu files see no tensor, the .cpp files of the plug-in no kernel.
// Every launcher queues on `stream` and returns the launch's status.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace hici::ops::cuda {

enum class ElementType { kFloat32, kBFloat16, kFloat16, kFloat64 };

struct RmsNormShape {
  int64_t rows;
  int64_t width;
};

// sum = x + delta (or x, where delta is null: sum is not written then), normed = weight * sum * rstd [rows].
struct RmsNormForward {
  const void *x, *delta, *weight;
  double eps;
  void *sum, *normed;
  float* rstd;
};
cudaError_t launch_rms_norm_forward(ElementType type, RmsNormShape shape, const RmsNormForward& p, cudaStream_t stream);

// dnormed2 and dsum may be null; they are added to dnormed and dx. dweight [width]; dweight_parts
// [rms_norm_parts(shape), width] is room to work in.
struct RmsNormBackward {
  const void *dnormed, *dnormed2, *dsum, *x, *weight;
  const float* rstd;
  void* dx;
  float *dweight, *dweight_parts;
};
int64_t rms_norm_parts(RmsNormShape shape);
cudaError_t launch_rms_norm_backward(ElementType type, RmsNormShape shape, const RmsNormBackward& p,
                                     cudaStream_t stream);

// x [segments, length, heads, head_dim] with `x_stride` elements between segments, y likewise; all else contiguous.
struct RotaryShape {
  int64_t segments, length, heads, head_dim;
  int64_t x_stride, y_stride;
  int64_t table_rows;  // token g * length + s has row (g * length + s) mod table_rows
};

// Tables [table_rows, head_dim / 2]; float64 when the type is, else float32. `sign` -1 turns back.
cudaError_t launch_rotary(ElementType type, RotaryShape shape, const void* x, const void* cos, const void* sin,
                          double sign, void* y, cudaStream_t stream);

struct LogitsShape {
  int64_t tokens, vocabulary;
};

// losses [tokens]: -log softmax(logits)[label], 0 where the label is `ignored`. The gradient, softmax - one_hot(label)
// or 0, is written over the logits. Not for float64: computes in float32.
cudaError_t launch_cross_entropy(ElementType type, LogitsShape shape, int64_t ignored, void* logits,
                                 const int64_t* labels, float* losses, cudaStream_t stream);
// Log probability of each target, and the most probable token (the first of equals).
cudaError_t launch_token_scores(ElementType type, LogitsShape shape, const void* logits, const int64_t* targets,
                                float* log_likelihood, int64_t* argmax, cudaStream_t stream);

// x [batch, rows, width]
struct SlotsShape {
  int64_t batch, rows, width;
};

// Below them the norm of a mean and a deviation count as constants.
struct StatisticsFloors {
  double norm, deviation;
};

// out, dout [batch, 5, width] in the type of accumulation: mean, maximum, minimum, deviation, mean over its norm.
cudaError_t launch_slot_statistics(ElementType type, SlotsShape shape, StatisticsFloors floors, const void* x,
                                   void* out, cudaStream_t stream);
cudaError_t launch_slot_statistics_backward(ElementType type, SlotsShape shape, StatisticsFloors floors, const void* x,
                                            const void* dout, void* dx, cudaStream_t stream);

// weight and dweight [segments, rows, length], a softmax along length and its gradient; joint [segments, 2 rows,
// length]: the weights, then the gradient of the scores.
struct ScoresShape {
  int64_t segments, rows, length;
};
cudaError_t launch_score_gradients(ElementType type, ScoresShape shape, const void* weight, const void* dweight,
                                   void* joint, cudaStream_t stream);

// out [segments, 2 rows, length]: dmean [rows, segments, length] by segments, and behind it queries [rows, length].
cudaError_t launch_join_rows(ElementType type, ScoresShape shape, const void* dmean, const void* queries, void* out,
                             cudaStream_t stream);

cudaError_t launch_swiglu_forward(ElementType type, int64_t count, const void* gate, const void* up, void* y,
                                  cudaStream_t stream);
cudaError_t launch_swiglu_backward(ElementType type, int64_t count, const void* dy, const void* gate, const void* up,
                                   void* dgate, void* dup, cudaStream_t stream);

// sums += gradients, pair by pair, of 16-bit types to float32; passed by value, so that it fits a kernel's arguments.
struct AccumulateList {
  static constexpr int kMostPairs = 128;
  const void* from[kMostPairs];
  float* to[kMostPairs];
  int64_t count[kMostPairs];
  unsigned first_block[kMostPairs];
  unsigned blocks = 0;
  int pairs = 0;

  // To a list of fewer than kMostPairs; `elements` may be 0.
  void add(const void* gradient, float* sum, int64_t elements);
};
cudaError_t launch_accumulate(ElementType type, const AccumulateList& list, cudaStream_t stream);

// Rows to float8_e4m3fn, each multiplied by 448 over its largest number; scale [rows] is the inverse. x [segments,
// length, width] with `stride` elements between segments, its columns multiplied by `factor` [width] first (null: not).
// Width and stride are multiples of 8.
struct QuantiseShape {
  int64_t segments, length, width, stride;
};
cudaError_t launch_quantise_rows(ElementType type, const QuantiseShape& shape, const void* x, const float* factor,
                                 void* out, float* scale, cudaStream_t stream);

// Backward of an adapter, of y += scale low b^T: dlow [rows, rank] = scale d b, db [columns, rank] = scale d^T low, for
// d [segments, length, columns] with `d_stride` elements between segments, rows = segments * length; `low_stride`
// elements between rows of low and of dlow.
struct LoraShape {
  int64_t segments, length, columns, rank, d_stride, low_stride;
};
// 16-bit types, rank 8 in multiples of 256 columns and 16 in multiples of 128, strides in multiples of 8; d, low and b
// begin on 16 bytes.
bool lora_backward_takes(ElementType type, const LoraShape& shape, const void* d, const void* low, const void* b);
// Room to work in: dlow_parts [dlow, rows, rank] and db_parts [db, columns, rank].
struct LoraParts {
  int64_t dlow, db;
};
LoraParts lora_parts(const LoraShape& shape);
struct LoraBackward {
  const void *d, *low, *b;
  float scale;
  float *dlow_parts, *db_parts;
  void *dlow, *db;
};
cudaError_t launch_lora_backward(ElementType type, const LoraShape& shape, const LoraBackward& p, cudaStream_t stream);

// Decoding over a cache: q [distances, batch, heads, head_dim], out [batch, heads, head_dim]; k, v [batch, rows,
// kv_heads, head_dim] with `stride` elements between sequences, of which the first lengths[b] rows count. A row of a
// head is 16 bytes for each of a power of two threads, 32 at the most; at most kMostDecodeHeads query heads for each of
// k and v. Not for float64.
inline constexpr int64_t kMostDecodeHeads = 8;
struct DecodeShape {
  int64_t batch, heads, kv_heads, head_dim, rows, k_stride, v_stride;
  int64_t distances;  // q[min(r, distances - 1)] is for the rows r chunks before that of the query
  int64_t chunk_len;
  int64_t splits;  // of the rows that count, each a block of its own: decode_splits()
};
struct DecodePointers {
  const void *q, *k, *v;
  const int64_t* lengths;
  double scale;
  float *partial, *partial_lse;  // [batch, heads, splits, head_dim] and [batch, heads, splits]
  void* out;
};
// So many that the whole card reads.
int64_t decode_splits(int64_t batch, int64_t kv_heads, int64_t rows);
cudaError_t launch_decode_attention(ElementType type, const DecodeShape& shape, const DecodePointers& p,
                                    cudaStream_t stream);

}  // namespace hici::ops::cuda
