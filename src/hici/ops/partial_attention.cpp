// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/partial_attention.h"

#include "hici/base/error.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace hici::ops {
namespace {

double partial_scale_of(const at::Tensor& q) { return 1.0 / std::sqrt(static_cast<double>(q.size(-1))); }

// The kernel reads the key/value head of a group by itself.
PartialAttention cpu_flash(const at::Tensor& q_BSHD, const at::Tensor& k_BKJD, const at::Tensor& v_BKJD,
                           bool is_causal) {
  auto [out, lse] = at::_scaled_dot_product_flash_attention_for_cpu(q_BSHD.transpose(1, 2), k_BKJD.transpose(1, 2),
                                                                    v_BKJD.transpose(1, 2), 0.0, is_causal);
  return {out.transpose(1, 2), lse};
}

// LibTorch's CPU kernel aligns its causal mask to the top left. All queries attend to all rows before their own, so
// these rows are a second partial attention without a mask.
PartialAttention cpu_causal(const at::Tensor& q_BSHD, const at::Tensor& k_BKJD, const at::Tensor& v_BKJD) {
  const int64_t length = q_BSHD.size(1), before = k_BKJD.size(1) - length;
  const PartialAttention own =
      cpu_flash(q_BSHD, k_BKJD.narrow(1, before, length), v_BKJD.narrow(1, before, length), true);
  if (before == 0) return own;
  return merge_partials(own, cpu_flash(q_BSHD, k_BKJD.narrow(1, 0, before), v_BKJD.narrow(1, 0, before), false));
}

// FlashAttention-2 in LibTorch aligns its causal mask to the bottom right.
PartialAttention gpu_flash(const at::Tensor& q_BSHD, const at::Tensor& k_BKJD, const at::Tensor& v_BKJD,
                           bool is_causal) {
  auto [out, lse, seed, unused, mask] =
      at::_flash_attention_forward(q_BSHD, k_BKJD, v_BKJD, {}, {}, q_BSHD.size(1), k_BKJD.size(1), 0.0, is_causal,
                                   /*return_debug_mask=*/false, partial_scale_of(q_BSHD));
  return {out, lse};
}

// Heads first, the query heads of a group adjacent: one GEMM per k/v head.
struct Grouped {
  at::Tensor q_BJgSD, k_BJKD, v_BJKD;

  Grouped(const at::Tensor& q_BSHD, const at::Tensor& k_BKJD, const at::Tensor& v_BKJD)
      : q_BJgSD((q_BSHD * partial_scale_of(q_BSHD)).transpose(1, 2).unflatten(1, {k_BKJD.size(2), -1}).contiguous()),
        k_BJKD(k_BKJD.transpose(1, 2).contiguous()),
        v_BJKD(v_BKJD.transpose(1, 2).contiguous()) {}
};

// Queries `first` .. `first + count - 1` over the first `seen` keys. The last `own` keys belong to the queries
// themselves and get the causal mask; 0: no mask.
PartialAttention math_block(const Grouped& t, int64_t first, int64_t count, int64_t seen, int64_t own) {
  const at::Tensor q_BJgsD = t.q_BJgSD.narrow(3, first, count);
  const auto model_dtype = q_BJgsD.scalar_type();
  at::Tensor score = at::matmul(q_BJgsD.flatten(2, 3), t.k_BJKD.narrow(2, 0, seen).transpose(2, 3))
                         .to(accumulation_type(model_dtype))
                         .unflatten(2, {q_BJgsD.size(2), count});  // [B, J, g, s, K]
  if (own > 0) {
    const at::Tensor hidden = at::ones({count, own}, score.options().dtype(at::kBool)).triu(1);
    score.narrow(4, seen - own, own).masked_fill_(hidden, -std::numeric_limits<double>::infinity());
  }
  const at::Tensor lse = at::logsumexp(score, {4});
  const at::Tensor weight = score.sub_(lse.unsqueeze(4)).exp_().to(model_dtype);
  const at::Tensor out = at::matmul(weight.flatten(2, 3), t.v_BJKD.narrow(2, 0, seen)).unflatten(2, {-1, count});
  return {out.flatten(1, 2).transpose(1, 2), lse.flatten(1, 2)};
}

// In blocks of queries, so that scores are never held whole.
PartialAttention plain_partial(const at::Tensor& q_BSHD, const at::Tensor& k_BKJD, const at::Tensor& v_BKJD,
                               bool is_causal) {
  constexpr int64_t kScoresAtOnce = int64_t{1} << 24;
  const int64_t length = q_BSHD.size(1), rows = k_BKJD.size(1);
  const int64_t block = std::clamp(kScoresAtOnce / (q_BSHD.size(0) * q_BSHD.size(2) * rows), int64_t{1}, length);
  const Grouped grouped(q_BSHD, k_BKJD, v_BKJD);
  std::vector<at::Tensor> outs, lses;
  for (int64_t first = 0; first < length; first += block) {
    const int64_t count = std::min(block, length - first);
    const int64_t seen = is_causal ? rows - length + first + count : rows;
    const PartialAttention part = math_block(grouped, first, count, seen, is_causal ? count : 0);
    outs.push_back(part.out_BSHD);
    lses.push_back(part.lse_BHS);
  }
  return {at::cat(outs, 1), at::cat(lses, 2)};
}

}  // namespace

PartialAttention partial_attention(const at::Tensor& q_BSHD, const at::Tensor& k_BKJD, const at::Tensor& v_BKJD,
                                   bool is_causal, AttentionBackend backend) {
  HICI_ASSERT(k_BKJD.size(1) > 0 && (!is_causal || k_BKJD.size(1) >= q_BSHD.size(1)) &&
                  (backend == AttentionBackend::kFlash || backend == AttentionBackend::kMath),
              "q ", q_BSHD.sizes(), " k ", k_BKJD.sizes());
  if (backend == AttentionBackend::kMath) return plain_partial(q_BSHD, k_BKJD, v_BKJD, is_causal);
  if (q_BSHD.is_cuda()) return gpu_flash(q_BSHD, k_BKJD, v_BKJD, is_causal);
  return is_causal ? cpu_causal(q_BSHD, k_BKJD, v_BKJD) : cpu_flash(q_BSHD, k_BKJD, v_BKJD, false);
}

PartialAttention merge_partials(const PartialAttention& a, const PartialAttention& b) {
  const at::Tensor lse = at::logaddexp(a.lse_BHS, b.lse_BHS);
  auto share = [&](const PartialAttention& part) {
    return part.out_BSHD.to(lse.scalar_type()) * (part.lse_BHS - lse).exp().transpose(1, 2).unsqueeze(-1);
  };
  return {share(a).add_(share(b)), lse};
}

AttentionBackend partial_backend(const at::Tensor& q_BSHD, AttentionBackend backend) {
  if (backend != AttentionBackend::kAuto) return backend;
  const AttentionProblem problem{q_BSHD.device(), q_BSHD.scalar_type(), q_BSHD.size(3)};
  return why_not(AttentionBackend::kFlash, problem).empty() ? AttentionBackend::kFlash : AttentionBackend::kMath;
}

}  // namespace hici::ops
