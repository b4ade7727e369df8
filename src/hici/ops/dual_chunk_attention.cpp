// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/dual_chunk_attention.h"

#include "hici/base/error.h"
#include "hici/ops/partial_attention.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

namespace hici::ops {
namespace {

void check_no_gradients(const at::Tensor& q, const at::Tensor& k) {
  HICI_ASSERT(!at::GradMode::is_enabled() || (!q.requires_grad() && !k.requires_grad()),
              "Dual Chunk Attention has no backward");
}

// Queries [first, first + count) of one chunk, which begins at key `chunk`; the first query is key `position`.
struct ChunkQueries {
  int64_t first, count, chunk, position;
};

PartialAttention attention_of_chunk(const ChunkQueries& queries, const at::Tensor& q_3BSHD, const at::Tensor& k_BKJD,
                                    const at::Tensor& v_BKJD, int64_t chunk_len, AttentionBackend backend) {
  auto partial = [&](int64_t distance, int64_t begin, int64_t end) {
    return partial_attention(q_3BSHD[distance].narrow(1, queries.first, queries.count),
                             k_BKJD.narrow(1, begin, end - begin), v_BKJD.narrow(1, begin, end - begin),
                             /*is_causal=*/distance == 0, backend);
  };
  PartialAttention merged = partial(0, queries.chunk, queries.position + queries.count);
  if (queries.chunk >= chunk_len) merged = merge_partials(merged, partial(1, queries.chunk - chunk_len, queries.chunk));
  if (queries.chunk > chunk_len) merged = merge_partials(merged, partial(2, 0, queries.chunk - chunk_len));
  return merged;
}

}  // namespace

DualChunkTables make_dual_chunk_tables(const RotaryFrequencies& frequencies, const config::DualChunk& sizes,
                                       const at::Tensor& positions_T, at::ScalarType model_type) {
  HICI_ASSERT(sizes.chunk_len > 0 && sizes.chunk_len <= sizes.chunk_size, sizes.chunk_len, " ", sizes.chunk_size);
  const RotaryFrequencies scaled{frequencies.inverse, frequencies.scale * sizes.magnitude};
  const at::Tensor chunk_positions_T = positions_T.remainder(sizes.chunk_len);
  const at::Tensor far_1 = at::full({1}, std::min(2 * sizes.chunk_len - 1, sizes.chunk_size), positions_T.options());
  return {sizes.chunk_len, make_rotary_tables(scaled, chunk_positions_T, model_type),
          make_rotary_tables(scaled, (chunk_positions_T + sizes.chunk_len).clamp_max(sizes.chunk_size), model_type),
          make_rotary_tables(scaled, far_1, model_type)};
}

DualChunkHeads prepare_dual_chunk_qkv(const QkvProjections& in, const DualChunkTables& tables) {
  check_no_gradients(in.q_BTHD, in.k_BTJD);
  const auto [q, k] = normed_heads(in);
  at::Tensor q_3BTHD = at::empty({kChunkDistances, q.size(0), q.size(1), q.size(2), q.size(3)}, q.options());
  at::Tensor k_BTJD = at::empty(k.sizes(), k.options());
  int64_t distance = 0;
  for (const RotaryTables* of_queries : {&tables.own, &tables.before, &tables.far}) {
    at::Tensor rotated = q_3BTHD[distance++];
    rotate_into(q.contiguous(), *of_queries, 1.0, rotated);
  }
  rotate_into(k.contiguous(), tables.own, 1.0, k_BTJD);
  return {q_3BTHD, k_BTJD, in.v_BTJD};
}

at::Tensor dual_chunk_attention(const at::Tensor& q_3BSHD, const at::Tensor& k_BKJD, const at::Tensor& v_BKJD,
                                int64_t chunk_len, AttentionBackend backend) {
  const int64_t length = q_3BSHD.size(2), rows = k_BKJD.size(1), before = rows - length;
  HICI_ASSERT(q_3BSHD.dim() == 5 && q_3BSHD.size(0) == kChunkDistances && before >= 0 && chunk_len > 0 &&
                  q_3BSHD.size(3) % k_BKJD.size(2) == 0,
              "q ", q_3BSHD.sizes(), " k ", k_BKJD.sizes());
  check_no_gradients(q_3BSHD, k_BKJD);
  backend = partial_backend(q_3BSHD[0], backend);
  at::Tensor out_BSHD = at::empty(q_3BSHD.sizes().slice(1), q_3BSHD.options());
  for (int64_t first = 0; first < length;) {
    const int64_t position = before + first, chunk = position / chunk_len * chunk_len;
    const int64_t count = std::min(chunk + chunk_len, rows) - position;
    const PartialAttention part =
        attention_of_chunk({first, count, chunk, position}, q_3BSHD, k_BKJD, v_BKJD, chunk_len, backend);
    out_BSHD.narrow(1, first, count).copy_(part.out_BSHD);
    first += count;
  }
  return out_BSHD;
}

}  // namespace hici::ops
