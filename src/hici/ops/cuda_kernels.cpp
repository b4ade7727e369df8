// SPDX-License-Identifier: Apache-2.0
// The plug-in's side of kernel_table.h: tensors to raw pointers, launch status to errors.
#include "hici/ops/cuda_graph.h"
#include "hici/ops/cuda_launch.h"
#include "hici/ops/cudnn_attention_cuda.h"
#include "hici/ops/kernel_table.h"

#include <ATen/ATen.h>
#include <ATen/cuda/CUDAContext.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>

#include <algorithm>
#include <stdexcept>
#include <string>

namespace hici::ops {
namespace {

void check_status(cudaError_t status, const char* what) {
  if (status == cudaSuccess) return;
  throw std::runtime_error(std::string("CUDA: ") + what + ": " + cudaGetErrorString(status));
}

cuda::ElementType element_type(const at::Tensor& t) {
  switch (t.scalar_type()) {
    case at::kFloat:
      return cuda::ElementType::kFloat32;
    case at::kBFloat16:
      return cuda::ElementType::kBFloat16;
    case at::kHalf:
      return cuda::ElementType::kFloat16;
    case at::kDouble:
      return cuda::ElementType::kFloat64;
    default:
      throw std::runtime_error(std::string("no CUDA kernel for type ") + c10::toString(t.scalar_type()));
  }
}

cudaStream_t stream_of(const at::Tensor& t) { return c10::cuda::getCurrentCUDAStream(t.get_device()).stream(); }

const void* data_or_null(const at::Tensor& t) { return t.defined() ? t.const_data_ptr() : nullptr; }

void rms_norm_forward(const at::Tensor& x, const at::Tensor& delta, const at::Tensor& weight, double eps,
                      at::Tensor& sum, at::Tensor& normed, at::Tensor& rstd) {
  const c10::cuda::CUDAGuard guard(x.device());
  const cuda::RmsNormForward pointers{x.const_data_ptr(),
                                      data_or_null(delta),
                                      weight.const_data_ptr(),
                                      eps,
                                      delta.defined() ? sum.mutable_data_ptr() : nullptr,
                                      normed.mutable_data_ptr(),
                                      rstd.mutable_data_ptr<float>()};
  check_status(
      cuda::launch_rms_norm_forward(element_type(x), {x.numel() / x.size(-1), x.size(-1)}, pointers, stream_of(x)),
      "rms_norm_forward");
}

void rms_norm_backward(const at::Tensor& dnormed, const at::Tensor& dnormed2, const at::Tensor& dsum,
                       const at::Tensor& x, const at::Tensor& weight, const at::Tensor& rstd, at::Tensor& dx,
                       at::Tensor& dweight) {
  const c10::cuda::CUDAGuard guard(x.device());
  const cuda::RmsNormShape shape{x.numel() / x.size(-1), x.size(-1)};
  at::Tensor parts = at::empty({cuda::rms_norm_parts(shape), shape.width}, dweight.options());
  const cuda::RmsNormBackward pointers{dnormed.const_data_ptr(),
                                       data_or_null(dnormed2),
                                       data_or_null(dsum),
                                       x.const_data_ptr(),
                                       weight.const_data_ptr(),
                                       rstd.const_data_ptr<float>(),
                                       dx.mutable_data_ptr(),
                                       dweight.mutable_data_ptr<float>(),
                                       parts.mutable_data_ptr<float>()};
  check_status(cuda::launch_rms_norm_backward(element_type(x), shape, pointers, stream_of(x)), "rms_norm_backward");
}

void rotary(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, double sign, at::Tensor& y) {
  const c10::cuda::CUDAGuard guard(x.device());
  const cuda::RotaryShape shape{x.size(0), x.size(1), x.size(2), x.size(3), x.stride(0), y.stride(0), cos.size(0)};
  check_status(cuda::launch_rotary(element_type(x), shape, x.const_data_ptr(), cos.const_data_ptr(),
                                   sin.const_data_ptr(), sign, y.mutable_data_ptr(), stream_of(x)),
               "rotary");
}

void swiglu_forward(const at::Tensor& gate, const at::Tensor& up, at::Tensor& y) {
  const c10::cuda::CUDAGuard guard(gate.device());
  check_status(cuda::launch_swiglu_forward(element_type(gate), gate.numel(), gate.const_data_ptr(), up.const_data_ptr(),
                                           y.mutable_data_ptr(), stream_of(gate)),
               "swiglu_forward");
}

void swiglu_backward(const at::Tensor& dy, const at::Tensor& gate, const at::Tensor& up, at::Tensor& dgate,
                     at::Tensor& dup) {
  const c10::cuda::CUDAGuard guard(gate.device());
  check_status(cuda::launch_swiglu_backward(element_type(gate), gate.numel(), dy.const_data_ptr(),
                                            gate.const_data_ptr(), up.const_data_ptr(), dgate.mutable_data_ptr(),
                                            dup.mutable_data_ptr(), stream_of(gate)),
               "swiglu_backward");
}

void cross_entropy(at::Tensor& logits, const at::Tensor& labels, int64_t ignored, at::Tensor& losses) {
  const c10::cuda::CUDAGuard guard(logits.device());
  check_status(cuda::launch_cross_entropy(element_type(logits), {logits.size(0), logits.size(1)}, ignored,
                                          logits.mutable_data_ptr(), labels.const_data_ptr<int64_t>(),
                                          losses.mutable_data_ptr<float>(), stream_of(logits)),
               "cross_entropy");
}

void token_scores(const at::Tensor& logits, const at::Tensor& targets, at::Tensor& log_likelihood, at::Tensor& argmax) {
  const c10::cuda::CUDAGuard guard(logits.device());
  check_status(
      cuda::launch_token_scores(element_type(logits), {logits.size(0), logits.size(1)}, logits.const_data_ptr(),
                                targets.const_data_ptr<int64_t>(), log_likelihood.mutable_data_ptr<float>(),
                                argmax.mutable_data_ptr<int64_t>(), stream_of(logits)),
      "token_scores");
}

void slot_statistics(const at::Tensor& x, double norm_floor, double deviation_floor, at::Tensor& out) {
  const c10::cuda::CUDAGuard guard(x.device());
  check_status(
      cuda::launch_slot_statistics(element_type(x), {x.size(0), x.size(1), x.size(2)}, {norm_floor, deviation_floor},
                                   x.const_data_ptr(), out.mutable_data_ptr(), stream_of(x)),
      "slot_statistics");
}

void slot_statistics_backward(const at::Tensor& dout, const at::Tensor& x, double norm_floor, double deviation_floor,
                              at::Tensor& dx) {
  const c10::cuda::CUDAGuard guard(x.device());
  check_status(cuda::launch_slot_statistics_backward(element_type(x), {x.size(0), x.size(1), x.size(2)},
                                                     {norm_floor, deviation_floor}, x.const_data_ptr(),
                                                     dout.const_data_ptr(), dx.mutable_data_ptr(), stream_of(x)),
               "slot_statistics_backward");
}

void score_gradients(const at::Tensor& weight, const at::Tensor& dweight, at::Tensor& joint) {
  const c10::cuda::CUDAGuard guard(weight.device());
  check_status(cuda::launch_score_gradients(element_type(weight), {weight.size(0), weight.size(1), weight.size(2)},
                                            weight.const_data_ptr(), dweight.const_data_ptr(), joint.mutable_data_ptr(),
                                            stream_of(weight)),
               "score_gradients");
}

void join_rows(const at::Tensor& dmean, const at::Tensor& queries, at::Tensor& out) {
  const c10::cuda::CUDAGuard guard(dmean.device());
  check_status(
      cuda::launch_join_rows(element_type(dmean), {dmean.size(1), dmean.size(0), dmean.size(2)}, dmean.const_data_ptr(),
                             queries.const_data_ptr(), out.mutable_data_ptr(), stream_of(dmean)),
      "join_rows");
}

void accumulate(const std::vector<at::Tensor>& gradients, const std::vector<at::Tensor>& sums) {
  const c10::cuda::CUDAGuard guard(gradients[0].device());
  cuda::AccumulateList list;
  const auto launch = [&] {
    check_status(cuda::launch_accumulate(element_type(gradients[0]), list, stream_of(gradients[0])), "accumulate");
    list = {};
  };
  for (size_t i = 0; i < gradients.size(); ++i) {
    if (list.pairs == cuda::AccumulateList::kMostPairs) launch();
    list.add(gradients[i].const_data_ptr(), sums[i].mutable_data_ptr<float>(), gradients[i].numel());
  }
  launch();
}

void quantise_rows(const at::Tensor& x, const at::Tensor& factor, at::Tensor& rows, at::Tensor& scale) {
  const c10::cuda::CUDAGuard guard(x.device());
  check_status(
      cuda::launch_quantise_rows(element_type(x), {x.size(0), x.size(1), x.size(2), x.stride(0)}, x.const_data_ptr(),
                                 factor.defined() ? factor.const_data_ptr<float>() : nullptr, rows.mutable_data_ptr(),
                                 scale.mutable_data_ptr<float>(), stream_of(x)),
      "quantise_rows");
}

int set_sm_target(int count) {
  const cublasHandle_t handle = at::cuda::getCurrentCUDABlasHandle();
  const int all = at::cuda::getCurrentDeviceProperties()->multiProcessorCount;
  int before = 0;
  cublasStatus_t status = cublasGetSmCountTarget(handle, &before);
  if (status == CUBLAS_STATUS_SUCCESS)
    status = cublasSetSmCountTarget(handle, count < 0 ? std::max(1, all + count) : count);
  if (status != CUBLAS_STATUS_SUCCESS) throw std::runtime_error("cuBLAS: cannot set the number of multiprocessors");
  return before;
}

void decode_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& lengths,
                      int64_t chunk_len, double scale, at::Tensor& out) {
  const c10::cuda::CUDAGuard guard(q.device());
  const int64_t splits = cuda::decode_splits(q.size(1), k.size(2), k.size(1));
  const cuda::DecodeShape shape{q.size(1),   q.size(2),   k.size(2), q.size(3), k.size(1),
                                k.stride(0), v.stride(0), q.size(0), chunk_len, splits};
  const auto options = q.options().dtype(at::kFloat);
  at::Tensor partial = at::empty({q.size(1), q.size(2), splits, q.size(3)}, options);
  at::Tensor partial_lse = at::empty({q.size(1), q.size(2), splits}, options);
  const cuda::DecodePointers pointers{q.const_data_ptr(),
                                      k.const_data_ptr(),
                                      v.const_data_ptr(),
                                      lengths.const_data_ptr<int64_t>(),
                                      scale,
                                      partial.mutable_data_ptr<float>(),
                                      partial_lse.mutable_data_ptr<float>(),
                                      out.mutable_data_ptr()};
  check_status(cuda::launch_decode_attention(element_type(q), shape, pointers, stream_of(q)), "decode_attention");
}

bool lora_backward(const at::Tensor& d, const at::Tensor& low, const at::Tensor& b, double scale, at::Tensor& dlow,
                   at::Tensor& db) {
  const cuda::LoraShape shape{d.size(0), d.size(1), d.size(2), b.size(1), d.stride(0), low.stride(0)};
  if (dlow.stride(0) != low.stride(0) ||
      !cuda::lora_backward_takes(element_type(d), shape, d.const_data_ptr(), low.const_data_ptr(), b.const_data_ptr()))
    return false;
  const c10::cuda::CUDAGuard guard(d.device());
  const cuda::LoraParts parts = cuda::lora_parts(shape);
  const auto options = d.options().dtype(at::kFloat);
  at::Tensor dlow_parts = at::empty({parts.dlow, dlow.size(0), shape.rank}, options);
  at::Tensor db_parts = at::empty({parts.db, shape.columns, shape.rank}, options);
  const cuda::LoraBackward pointers{d.const_data_ptr(),
                                    low.const_data_ptr(),
                                    b.const_data_ptr(),
                                    static_cast<float>(scale),
                                    dlow_parts.mutable_data_ptr<float>(),
                                    db_parts.mutable_data_ptr<float>(),
                                    dlow.mutable_data_ptr(),
                                    db.mutable_data_ptr()};
  check_status(cuda::launch_lora_backward(element_type(d), shape, pointers, stream_of(d)), "lora_backward");
  return true;
}

int device_capability(int index) {
  int major = 0, minor = 0;
  const cudaError_t status = cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, index);
  check_status(
      status == cudaSuccess ? cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, index) : status,
      "device_capability");
  return 10 * major + minor;
}

}  // namespace
}  // namespace hici::ops

extern "C" const hici::ops::KernelTable* hici_cuda_kernels() {
  static const hici::ops::KernelTable table{
      .rms_norm_forward = hici::ops::rms_norm_forward,
      .rms_norm_backward = hici::ops::rms_norm_backward,
      .rotary = hici::ops::rotary,
      .swiglu_forward = hici::ops::swiglu_forward,
      .swiglu_backward = hici::ops::swiglu_backward,
      .cross_entropy = hici::ops::cross_entropy,
      .token_scores = hici::ops::token_scores,
#ifdef HICI_HAS_CUDNN
      .cudnn_attention_forward = hici::ops::cuda::cudnn_attention_forward,
      .cudnn_attention_backward = hici::ops::cuda::cudnn_attention_backward,
#else
      .cudnn_attention_forward = nullptr,
      .cudnn_attention_backward = nullptr,
#endif
      .slot_statistics = hici::ops::slot_statistics,
      .slot_statistics_backward = hici::ops::slot_statistics_backward,
      .score_gradients = hici::ops::score_gradients,
      .join_rows = hici::ops::join_rows,
      .accumulate = hici::ops::accumulate,
      .lora_backward = hici::ops::lora_backward,
      .quantise_rows = hici::ops::quantise_rows,
      .set_sm_target = hici::ops::set_sm_target,
      .decode_attention = hici::ops::decode_attention,
      .graph_record = hici::ops::cuda::graph_record,
      .graph_replay = hici::ops::cuda::graph_replay,
      .graph_release = hici::ops::cuda::graph_release,
      .device_capability = hici::ops::device_capability,
  };
  return &table;
}
