// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/cached_attention.h"

#include "hici/base/error.h"
#include "hici/device/kernel_table.h"
#include "hici/ops/partial_attention.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace hici::ops {
namespace {

double scale_of(const at::Tensor& q) { return 1.0 / std::sqrt(static_cast<double>(q.size(-1))); }

// The query of each sequence in R rotations: for the keys of its own chunk, of the chunk before, .. and of all chunks
// further away. Plain attention has R = 1.
struct Queries {
  at::Tensor q_RBHD;
  int64_t chunk_len;

  int64_t distances() const { return q_RBHD.size(0); }
  int64_t group(const at::Tensor& k_BXJD) const { return q_RBHD.size(2) / k_BXJD.size(2); }
  at::Tensor scaled() const { return q_RBHD * scale_of(q_RBHD); }
};

// [J, g, K] of a sequence, with queries q_RJgD and keys k_JKD: from the rows furthest away on.
at::Tensor scores_of(const at::Tensor& q_RJgD, const at::Tensor& k_JKD, int64_t chunk_len) {
  const int64_t length = k_JKD.size(1), query_chunk = (length - 1) / chunk_len;
  std::vector<at::Tensor> parts;
  int64_t begin = 0;
  for (int64_t distance = q_RJgD.size(0) - 1; distance >= 0; --distance) {
    const int64_t end = std::min((query_chunk - distance + 1) * chunk_len, length);
    if (end <= begin) continue;
    parts.push_back(at::bmm(q_RJgD[distance], k_JKD.narrow(1, begin, end - begin).transpose(1, 2)));
    begin = end;
  }
  return parts.size() == 1 ? parts[0] : at::cat(parts, 2);
}

// One sequence at a time, over its visible rows: GEMMs read the cache in place.
at::Tensor cpu_decode(const Queries& queries, const at::Tensor& k_BXJD, const at::Tensor& v_BXJD,
                      const at::Tensor& lengths_B) {
  const int64_t kv_heads = k_BXJD.size(2);
  const at::Tensor q_RBJgD = queries.scaled().unflatten(2, {kv_heads, -1});
  const auto model_dtype = q_RBJgD.scalar_type(), accumulation_dtype = accumulation_type(model_dtype);
  at::Tensor out_BHD = at::empty_like(queries.q_RBHD[0]);
  for (int64_t b = 0; b < out_BHD.size(0); ++b) {
    const int64_t length = lengths_B.const_data_ptr<int64_t>()[b];
    auto rows = [&](const at::Tensor& t) { return t.select(0, b).narrow(0, 0, length).transpose(0, 1); };  // [J, K, D]
    const at::Tensor score_JgK =
        scores_of(q_RBJgD.select(1, b), rows(k_BXJD), queries.chunk_len).to(accumulation_dtype);
    const at::Tensor read_JgD = at::bmm(at::softmax(score_JgK, -1).to(model_dtype), rows(v_BXJD));
    out_BHD.select(0, b).copy_(read_JgD.flatten(0, 1));
  }
  return out_BHD;
}

// For types and sizes that the kernel does not support: all X rows, masked.
at::Tensor masked_decode(const Queries& queries, const at::Tensor& k_BXJD, const at::Tensor& v_BXJD,
                         const at::Tensor& lengths_B) {
  const at::Tensor q_RBJgD = queries.scaled().unflatten(2, {k_BXJD.size(2), -1});
  const auto model_dtype = q_RBJgD.scalar_type();
  auto scores = [&](int64_t distance) {
    return at::matmul(q_RBJgD[distance], k_BXJD.permute({0, 2, 3, 1})).to(accumulation_type(model_dtype));
  };
  auto over_heads = [](const at::Tensor& t_BX) { return t_BX.unsqueeze(1).unsqueeze(1); };
  const at::Tensor rows_1X = at::arange(k_BXJD.size(1), lengths_B.options()).unsqueeze(0);
  const at::Tensor lengths_B1 = lengths_B.unsqueeze(1);
  at::Tensor score_BJgX = scores(0);
  for (int64_t distance = 1; distance < queries.distances(); ++distance) {
    const at::Tensor chunks_between_BX =
        (lengths_B1 - 1).floor_divide(queries.chunk_len) - rows_1X.floor_divide(queries.chunk_len);
    score_BJgX = at::where(over_heads(chunks_between_BX.ge(distance)), scores(distance), score_BJgX);
  }
  score_BJgX.masked_fill_(over_heads(rows_1X.ge(lengths_B1)), -std::numeric_limits<double>::infinity());
  return at::matmul(at::softmax(score_BJgX, -1).to(model_dtype), v_BXJD.transpose(1, 2)).flatten(1, 2);
}

// The kernel reads a row of a head as 16 bytes for each of 1, 2, 4 .. 32 threads; a thread handles all query heads of a
// group.
bool decode_kernel_supports(const Queries& queries, const at::Tensor& k_BXJD) {
  constexpr int64_t kPackBytes = 16, kMostThreads = 32, kMostHeads = 8;
  const int64_t bytes = k_BXJD.size(3) * static_cast<int64_t>(k_BXJD.element_size()), threads = bytes / kPackBytes;
  return k_BXJD.scalar_type() != at::kDouble && bytes % kPackBytes == 0 && threads >= 1 && threads <= kMostThreads &&
         (threads & (threads - 1)) == 0 && queries.group(k_BXJD) <= kMostHeads;
}

at::Tensor decode(const Queries& queries, const at::Tensor& k_BXJD, const at::Tensor& v_BXJD,
                  const at::Tensor& lengths_B) {
  HICI_ASSERT(queries.q_RBHD.dim() == 4 && k_BXJD.dim() == 4 && k_BXJD.sizes() == v_BXJD.sizes() &&
                  queries.q_RBHD.size(1) == k_BXJD.size(0) && queries.q_RBHD.size(2) % k_BXJD.size(2) == 0 &&
                  lengths_B.sizes() == k_BXJD.sizes().slice(0, 1) && queries.chunk_len > 0 &&
                  k_BXJD.select(0, 0).is_contiguous() && v_BXJD.select(0, 0).is_contiguous(),
              "q ", queries.q_RBHD.sizes(), " k ", k_BXJD.sizes(), " v ", v_BXJD.sizes(), " lengths ",
              lengths_B.sizes());
  if (k_BXJD.is_cpu()) return cpu_decode(queries, k_BXJD, v_BXJD, lengths_B);
  if (!decode_kernel_supports(queries, k_BXJD)) return masked_decode(queries, k_BXJD, v_BXJD, lengths_B);
  const at::Tensor q_RBHD = queries.q_RBHD.contiguous();
  at::Tensor out_BHD = at::empty_like(q_RBHD[0]);
  device::cuda_kernels().decode_attention(q_RBHD, k_BXJD, v_BXJD, lengths_B, queries.chunk_len, scale_of(q_RBHD),
                                          out_BHD);
  return out_BHD;
}

}  // namespace

at::Tensor prefill_attention(const at::Tensor& q_BSHD, const at::Tensor& k_BKJD, const at::Tensor& v_BKJD,
                             AttentionBackend backend) {
  backend = partial_backend(q_BSHD, backend);
  if (q_BSHD.is_cuda() || backend == AttentionBackend::kMath) return segment_attention(q_BSHD, k_BKJD, v_BKJD, backend);
  return partial_attention(q_BSHD, k_BKJD, v_BKJD, /*is_causal=*/true, backend).out_BSHD.to(q_BSHD.scalar_type());
}

at::Tensor decode_attention(const at::Tensor& q_BHD, const at::Tensor& k_BXJD, const at::Tensor& v_BXJD,
                            const at::Tensor& lengths_B) {
  return decode({q_BHD.unsqueeze(0), k_BXJD.size(1)}, k_BXJD, v_BXJD, lengths_B);
}

void write_cache_rows(const at::Tensor& k_cache_BXJD, const at::Tensor& v_cache_BXJD, const at::Tensor& rows_n,
                      const at::Tensor& k_nJD, const at::Tensor& v_nJD) {
  const at::Tensor k_cache = k_cache_BXJD.flatten(0, 1), v_cache = v_cache_BXJD.flatten(0, 1);
  HICI_ASSERT(k_cache.sizes() == v_cache.sizes() && k_nJD.sizes() == v_nJD.sizes() && k_nJD.dim() == 3 &&
                  k_nJD.sizes().slice(1) == k_cache.sizes().slice(1) && rows_n.sizes() == k_nJD.sizes().slice(0, 1),
              "cache ", k_cache_BXJD.sizes(), " rows ", rows_n.sizes(), " k ", k_nJD.sizes(), " v ", v_nJD.sizes());
  constexpr int64_t kPackBytes = 16;
  if (k_cache.is_cuda() && k_nJD[0].nbytes() % kPackBytes == 0) {  // one launch for both
    device::cuda_kernels().write_cache_rows(k_nJD.contiguous(), v_nJD.contiguous(), rows_n, k_cache, v_cache);
    return;
  }
  at::Tensor(k_cache).index_copy_(0, rows_n, k_nJD);
  at::Tensor(v_cache).index_copy_(0, rows_n, v_nJD);
}

at::Tensor decode_dual_chunk_attention(const at::Tensor& q_3BHD, const at::Tensor& k_BXJD, const at::Tensor& v_BXJD,
                                       const at::Tensor& lengths_B, int64_t chunk_len) {
  HICI_ASSERT(q_3BHD.size(0) == 3, "q ", q_3BHD.sizes());
  return decode({q_3BHD, chunk_len}, k_BXJD, v_BXJD, lengths_B);
}

}  // namespace hici::ops
