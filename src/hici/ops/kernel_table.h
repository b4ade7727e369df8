// SPDX-License-Identifier: Apache-2.0
// The seam between libhici and its CUDA plug-in: plain function pointers, so that the main binary links no CUDA
// library. Each op asks cuda_kernels() when its tensors are on a GPU. All tensors are contiguous and on one CUDA
// device; work is queued on that device's current stream. Row kernels take [rows, width].
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

namespace hici::ops {

struct KernelTable {
  // sum = x + delta, normed = weight * sum * rstd, rstd = rsqrt(mean(sum^2) + eps) [rows] in float32. Without a delta
  // (undefined) sum is x and is not written.
  void (*rms_norm_forward)(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double eps,
                           at::Tensor& sum, at::Tensor& normed, at::Tensor& rstd);
  // dx, with dsum added, of dnormed + dnormed2 (both may be undefined), and dweight [width] in float32.
  void (*rms_norm_backward)(const at::Tensor& dnormed, const at::Tensor& dnormed2, const at::Tensor& dsum,
                            const at::Tensor& x, const at::Tensor& weight, const at::Tensor& rstd, at::Tensor& dx,
                            at::Tensor& dweight);
  // Rotates x [G, S, heads, D] into y by tables cos, sin [T, D/2] (float32; token g * S + s has row (g * S + s) mod T);
  // sign -1 is the transpose. x and y may each be rows of a longer buffer: only their first stride is free.
  void (*rotary)(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, double sign, at::Tensor& y);
  // y = silu(gate) * up.
  void (*swiglu_forward)(const at::Tensor& gate, const at::Tensor& up, at::Tensor& y);
  void (*swiglu_backward)(const at::Tensor& dy, const at::Tensor& gate, const at::Tensor& up, at::Tensor& dgate,
                          at::Tensor& dup);
  // losses [n] float32: -log softmax(logits)[label], 0 where the label is `ignored`; logits [n, V] become their
  // gradient.
  void (*cross_entropy)(at::Tensor& logits, const at::Tensor& labels, int64_t ignored, at::Tensor& losses);
  // Log probability of each target [n] float32, and the most probable token [n].
  void (*token_scores)(const at::Tensor& logits, const at::Tensor& targets, at::Tensor& log_likelihood,
                       at::Tensor& argmax);
  // cuDNN's attention with a bottom-right causal mask: q, out [G, S, H, D], k, v [G, P + S, J, D], lse [G, H, P + S]
  // float32, which only the backward understands. Sets out, lse and dq; out and dq are the last S of P + S rows of each
  // segment. q and dout may have rows in front (segment_padding.h), else they are copied when P > 0. Both null where
  // the plug-in was built without cuDNN.
  void (*cudnn_attention_forward)(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale,
                                  at::Tensor& out, at::Tensor& lse);
  void (*cudnn_attention_backward)(const at::Tensor& dout, const at::Tensor& q, const at::Tensor& k,
                                   const at::Tensor& v, const at::Tensor& out, const at::Tensor& lse, double scale,
                                   at::Tensor& dq, at::Tensor& dk, at::Tensor& dv);
  // The five statistics of x [B, n, C] (hierarchy/slot_statistics.h), [B, 5, C] in float32 or better, and their
  // backward.
  void (*slot_statistics)(const at::Tensor& x, double norm_floor, double deviation_floor, at::Tensor& out);
  void (*slot_statistics_backward)(const at::Tensor& dout, const at::Tensor& x, double norm_floor,
                                   double deviation_floor, at::Tensor& dx);
  // joint [G, 2 Q, S]: weight [G, Q, S], a softmax along S, and behind it the gradient of its scores, given dweight.
  void (*score_gradients)(const at::Tensor& weight, const at::Tensor& dweight, at::Tensor& joint);
  // out [G, 2 Q, C]: dmean [Q, G, C] by segments, and behind it queries [Q, C].
  void (*join_rows)(const at::Tensor& dmean, const at::Tensor& queries, at::Tensor& out);
  // sums[i] += gradients[i]: contiguous tensors, the gradients all bfloat16 or all float16, the sums float32.
  void (*accumulate)(const std::vector<at::Tensor>& gradients, const std::vector<at::Tensor>& sums);
  // Backward of an adapter, of y += scale low b^T: dlow [n, r] = scale d b and db [C, r] = scale d^T low, for d [G, S,
  // C] with n = G * S, of which only the first stride is free, as of low and dlow [n, r]. False, and nothing is done,
  // for types and sizes that it does not take (lora_backward_takes() of cuda_launch.h).
  bool (*lora_backward)(const at::Tensor& d, const at::Tensor& low, const at::Tensor& b, double scale, at::Tensor& dlow,
                        at::Tensor& db);
  // x [G, S, K], of which only the first stride is free, to float8_e4m3fn rows [G * S, K] and scales [G * S, 1]
  // (fp8.h); factor [K] float32 or undefined.
  void (*quantise_rows)(const at::Tensor& x, const at::Tensor& factor, at::Tensor& rows, at::Tensor& scale);
  // How many multiprocessors cuBLAS' products of this thread, on the current device, take from now on: 0 is the
  // library's own choice, a negative number so many less than all. Returns what was set before.
  int (*set_sm_target)(int count);
  // Attention of one query for each sequence, which stands at its last row: q [R, B, H, D], out [B, H, D], k, v
  // [B, X, J, D], of which the first lengths[b] rows count; lengths [B] int64. A row that lies r chunks of chunk_len
  // before the query's chunk is read by q[min(r, R - 1)]. Only the first stride of k and v is free. Types and sizes:
  // decode_kernel_takes() of cached_attention.cpp.
  void (*decode_attention)(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& lengths,
                           int64_t chunk_len, double scale, at::Tensor& out);
  // Records what `work` queues on the current device, without running it, as one graph; what it allocates is the
  // graph's own. Replaying queues it again; releasing waits for nothing and must come after the last replay is done.
  void* (*graph_record)(int index, const std::function<void()>& work);
  void (*graph_replay)(void* graph);
  void (*graph_release)(void* graph);
  // Compute capability of a device as 10 * major + minor.
  int (*device_capability)(int index);
};

// The plug-in's table; an hici::Error when the plug-in was not loaded.
const KernelTable& cuda_kernels();

// Called once, by the plug-in loader.
void register_cuda_kernels(const KernelTable* table);

}  // namespace hici::ops
