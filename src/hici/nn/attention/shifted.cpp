// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/attention/shifted.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace hici::nn {
namespace {

at::Tensor plain_segments(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t segment_length,
                          ops::AttentionBackend backend) {
  auto fold = [&](const at::Tensor& t) {  // [B, T, X, D] -> [B * N, S, X, D]
    return t.reshape({t.size(0) * t.size(1) / segment_length, segment_length, t.size(2), t.size(3)});
  };
  return ops::segment_attention(fold(q), fold(k), fold(v), backend).reshape(q.sizes());
}

// Heads of the second half: segments cut at S/2, S/2 + S, ...; the first and the last hold S/2 tokens (S - S/2 the
// last).
at::Tensor shifted_segments(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t segment_length,
                            ops::AttentionBackend backend) {
  const int64_t length = q.size(1), head = std::min(segment_length / 2, length);
  const int64_t middle = (length - head) / segment_length * segment_length, tail = length - head - middle;
  std::vector<at::Tensor> parts;
  auto add = [&](int64_t start, int64_t count, int64_t each) {
    if (count == 0) return;
    auto cut = [&](const at::Tensor& t) { return t.narrow(1, start, count); };
    parts.push_back(plain_segments(cut(q), cut(k), cut(v), each, backend));
  };
  add(0, head, head);
  add(head, middle, segment_length);
  add(head + middle, tail, tail);
  return at::cat(parts, 1);
}

at::Tensor repeat_heads(const at::Tensor& t_BTJD, int64_t heads) {
  return t_BTJD.size(2) == heads ? t_BTJD : t_BTJD.repeat_interleave(heads / t_BTJD.size(2), 2);
}

at::Tensor shifted_sparse_attention(const ops::AttentionHeads& heads_in, int64_t segment_length,
                                    ops::AttentionBackend backend) {
  const at::Tensor& q = heads_in.q_GSHD;
  const int64_t heads = q.size(2), half = heads / 2;
  const at::Tensor k = repeat_heads(heads_in.k_GKJD, heads), v = repeat_heads(heads_in.v_GKJD, heads);
  auto low = [&](const at::Tensor& t) { return t.narrow(2, 0, half); };
  auto high = [&](const at::Tensor& t) { return t.narrow(2, half, heads - half); };
  return at::cat({plain_segments(low(q), low(k), low(v), segment_length, backend),
                  shifted_segments(high(q), high(k), high(v), segment_length, backend)},
                 2);
}

}  // namespace

at::Tensor attend_shifted(const AttentionProjections& projections, const at::Tensor& x_BTC, const CommonInputs& common,
                          const ShiftedInputs& in) {
  const ops::AttentionHeads heads =
      projections.prepare_qkv(projections.project_tokens(x_BTC), {}, common, x_BTC.size(1));
  return as_attention(heads, [&](const ops::AttentionHeads& marked) {
    return shifted_sparse_attention(marked, in.length_in(x_BTC), common.backend);
  });
}

}  // namespace hici::nn
