// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/cached_attention_cuda.h"

#include "hici/device/cuda_check.h"
#include "hici/device/kernels_cuda.h"
#include "hici/ops/cuda_tensor.h"

#include <ATen/ops/empty.h>

namespace hici::device::kernels {

using namespace ops::cuda;

void decode_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const at::Tensor& lengths,
                      int64_t chunk_len, double scale, at::Tensor& out) {
  const c10::cuda::CUDAGuard guard(q.device());
  DecodeShape shape{q.size(1),   q.size(2),   k.size(2), q.size(3), k.size(1),
                    k.stride(0), v.stride(0), q.size(0), chunk_len, 0};
  shape.splits = decode_splits(element_type(q), shape);
  const auto options = q.options().dtype(at::kFloat);
  at::Tensor partial = at::empty({q.size(1), q.size(2), shape.splits, q.size(3)}, options);
  at::Tensor partial_lse = at::empty({q.size(1), q.size(2), shape.splits}, options);
  const DecodePointers pointers{q.const_data_ptr(),
                                k.const_data_ptr(),
                                v.const_data_ptr(),
                                lengths.const_data_ptr<int64_t>(),
                                scale,
                                partial.mutable_data_ptr<float>(),
                                partial_lse.mutable_data_ptr<float>(),
                                out.mutable_data_ptr()};
  HICI_CUDA_CHECK(launch_decode_attention(element_type(q), shape, pointers, stream_of(q)));
}

void write_cache_rows(const at::Tensor& k, const at::Tensor& v, const at::Tensor& rows, const at::Tensor& k_cache,
                      const at::Tensor& v_cache) {
  const c10::cuda::CUDAGuard guard(k.device());
  const CacheRowsShape shape{k.size(0), static_cast<int64_t>(k[0].nbytes()) / 16};
  HICI_CUDA_CHECK(launch_write_cache_rows(shape, rows.const_data_ptr<int64_t>(), k.const_data_ptr(), v.const_data_ptr(),
                                          k_cache.mutable_data_ptr(), v_cache.mutable_data_ptr(), stream_of(k)));
}

}  // namespace hici::device::kernels
