// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/segment_attention_hopper_cuda.h"

#include "hici/device/cuda_check.h"
#include "hici/device/kernels_cuda.h"
#include "hici/ops/cuda_tensor.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <map>
#include <mutex>
#include <utility>

namespace hici::device::kernels {
namespace {

using namespace ops::cuda;

// A counter that is 0 between launches. Each stream has its own, because launches on a stream follow one another. Never
// freed: the device may be gone before statics are.
unsigned* counter_of_stream(const at::Tensor& like) {
  static std::mutex mutex;
  static auto& kept = *new std::map<std::pair<c10::DeviceIndex, c10::StreamId>, at::Tensor>;
  const c10::cuda::CUDAStream stream = c10::cuda::getCurrentCUDAStream(like.get_device());
  const std::lock_guard lock(mutex);
  at::Tensor& counter = kept[{like.get_device(), stream.id()}];
  if (!counter.defined()) counter = at::zeros({1}, like.options().dtype(at::kInt).requires_grad(false));
  return reinterpret_cast<unsigned*>(counter.mutable_data_ptr<int>());
}

HopperAttentionShape shape_of(const at::Tensor& q, const at::Tensor& k, double scale) {
  return {q.size(0), q.size(1), k.size(1) - q.size(1), q.size(2), k.size(2), q.size(3), scale};
}

// The stride of a single segment says nothing.
SegmentRows rows_of(const at::Tensor& t) {
  return {const_cast<void*>(t.const_data_ptr()), t.size(0) > 1 ? t.stride(0) : t.numel()};
}

}  // namespace

void hopper_attention_forward(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, double scale,
                              at::Tensor& out, at::Tensor& lse) {
  const c10::cuda::CUDAGuard guard(q.device());
  lse = at::empty({q.size(0), q.size(2), q.size(1)}, q.options().dtype(at::kFloat));
  const HopperForward p{
      rows_of(q),          rows_of(out), k.const_data_ptr(), v.const_data_ptr(), lse.mutable_data_ptr<float>(),
      counter_of_stream(q)};
  HICI_CUDA_CHECK(launch_hopper_attention_forward(element_type(q), shape_of(q, k, scale), p, stream_of(q)));
}

void hopper_attention_backward(const at::Tensor& dout, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                               const at::Tensor& out, const at::Tensor& lse, double scale, at::Tensor& dq,
                               at::Tensor& dk, at::Tensor& dv) {
  const c10::cuda::CUDAGuard guard(q.device());
  const HopperAttentionShape shape = shape_of(q, k, scale);
  const auto options = q.options().dtype(at::kFloat);
  const int64_t padded = hopper_padded_queries(shape.queries), chunks = hopper_slot_chunks(shape.queries);
  at::Tensor lse_log2 = at::empty({shape.segments, shape.heads, padded}, options),
             delta = at::empty(lse_log2.sizes(), options);
  at::Tensor dq_sum = at::empty({shape.segments, shape.heads, padded, shape.head_dim}, options);
  at::Tensor slot_sums =
      shape.slots > 0 ? at::empty({shape.segments, shape.heads, chunks, 2, kHopperSlotRows, shape.head_dim}, options)
                      : at::empty({0}, options);
  const HopperBackward p{rows_of(q),
                         rows_of(out),
                         rows_of(dout),
                         rows_of(dq),
                         k.const_data_ptr(),
                         v.const_data_ptr(),
                         lse.const_data_ptr<float>(),
                         dk.mutable_data_ptr(),
                         dv.mutable_data_ptr(),
                         counter_of_stream(q),
                         lse_log2.mutable_data_ptr<float>(),
                         delta.mutable_data_ptr<float>(),
                         dq_sum.mutable_data_ptr<float>(),
                         slot_sums.mutable_data_ptr<float>()};
  HICI_CUDA_CHECK(launch_hopper_attention_backward(element_type(q), shape, p, stream_of(q)));
}

}  // namespace hici::device::kernels
