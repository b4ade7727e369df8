// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/cached_attention.h"

#include "hici/base/error.h"
#include "hici/ops/kernel_table.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

namespace hici::ops {
namespace {

double scale_of(const at::Tensor& q) { return 1.0 / std::sqrt(static_cast<double>(q.size(-1))); }

struct Part {
  at::Tensor out_BHSD, lse_BHS;
};

// The kernel reads the key/value head of a group by itself.
Part cpu_part(const at::Tensor& q_BHSD, const at::Tensor& k_BJXD, const at::Tensor& v_BJXD, bool is_causal) {
  auto [out, lse] = at::_scaled_dot_product_flash_attention_for_cpu(q_BHSD, k_BJXD, v_BJXD, 0.0, is_causal);
  return {out, lse};
}

// LibTorch's kernel aligns its mask to the top left. The rows before the chunk are seen whole by every token of it, so
// that they are a call of their own, and the two softmaxes are joined by their log-sum-exp.
at::Tensor cpu_chunk(const at::Tensor& q_BSHD, const at::Tensor& k_BKJD, const at::Tensor& v_BKJD) {
  const int64_t length = q_BSHD.size(1), before = k_BKJD.size(1) - length;
  const at::Tensor q = q_BSHD.transpose(1, 2), k = k_BKJD.transpose(1, 2), v = v_BKJD.transpose(1, 2);
  const Part own = cpu_part(q, k.narrow(2, before, length), v.narrow(2, before, length), true);
  if (before == 0) return own.out_BHSD.transpose(1, 2);
  const Part past = cpu_part(q, k.narrow(2, 0, before), v.narrow(2, 0, before), false);
  const at::Tensor lse = at::logaddexp(own.lse_BHS, past.lse_BHS);
  auto share = [&](const Part& part) {
    return part.out_BHSD.to(lse.scalar_type()) * (part.lse_BHS - lse).exp().unsqueeze(-1);
  };
  return (share(own) + share(past)).to(q.scalar_type()).transpose(1, 2);
}

// Each row by itself, over the rows that count: products read the cache where it lies.
at::Tensor cpu_decode(const at::Tensor& q_BHD, const at::Tensor& k_BXJD, const at::Tensor& v_BXJD,
                      const at::Tensor& lengths_B) {
  const int64_t kv_heads = k_BXJD.size(2), group = q_BHD.size(1) / kv_heads;
  const auto narrow = q_BHD.scalar_type(), wide = accumulation_type(narrow);
  at::Tensor out_BHD = at::empty_like(q_BHD);
  for (int64_t b = 0; b < q_BHD.size(0); ++b) {
    const int64_t length = lengths_B.const_data_ptr<int64_t>()[b];
    auto rows = [&](const at::Tensor& t) { return t.select(0, b).narrow(0, 0, length).transpose(0, 1); };  // [J, K, D]
    const at::Tensor q_JgD = (q_BHD.select(0, b) * scale_of(q_BHD)).view({kv_heads, group, -1});
    const at::Tensor score_JgK = at::bmm(q_JgD, rows(k_BXJD).transpose(1, 2)).to(wide);
    const at::Tensor read_JgD = at::bmm(at::softmax(score_JgK, -1).to(narrow), rows(v_BXJD));
    out_BHD.select(0, b).copy_(read_JgD.view({kv_heads * group, -1}));
  }
  return out_BHD;
}

// Every type and size, all X rows: where the kernel does not do it.
at::Tensor masked_decode(const at::Tensor& q_BHD, const at::Tensor& k_BXJD, const at::Tensor& v_BXJD,
                         const at::Tensor& lengths_B) {
  const int64_t batch = q_BHD.size(0), kv_heads = k_BXJD.size(2), group = q_BHD.size(1) / kv_heads;
  const auto narrow = q_BHD.scalar_type();
  const at::Tensor q_BJgD = (q_BHD * scale_of(q_BHD)).view({batch, kv_heads, group, -1});
  at::Tensor score_BJgX = at::matmul(q_BJgD, k_BXJD.permute({0, 2, 3, 1})).to(accumulation_type(narrow));
  const at::Tensor hidden_BX = at::arange(k_BXJD.size(1), lengths_B.options()).unsqueeze(0).ge(lengths_B.unsqueeze(1));
  score_BJgX.masked_fill_(hidden_BX.unsqueeze(1).unsqueeze(1), -std::numeric_limits<double>::infinity());
  return at::matmul(at::softmax(score_BJgX, -1).to(narrow), v_BXJD.transpose(1, 2)).view(q_BHD.sizes());
}

// A row of a head is 16 bytes for each of 1, 2, 4 .. 32 threads; one thread keeps all query heads of a group.
bool decode_kernel_takes(const at::Tensor& q_BHD, const at::Tensor& k_BXJD) {
  constexpr int64_t kPackBytes = 16, kMostThreads = 32, kMostHeads = 8;
  const int64_t bytes = q_BHD.size(2) * static_cast<int64_t>(q_BHD.element_size()), threads = bytes / kPackBytes;
  return q_BHD.scalar_type() != at::kDouble && bytes % kPackBytes == 0 && threads >= 1 && threads <= kMostThreads &&
         (threads & (threads - 1)) == 0 && q_BHD.size(1) / k_BXJD.size(2) <= kMostHeads;
}

}  // namespace

at::Tensor attend_chunk(const at::Tensor& q_BSHD, const at::Tensor& k_BKJD, const at::Tensor& v_BKJD,
                        AttentionBackend backend) {
  if (backend == AttentionBackend::kAuto &&
      why_not(AttentionBackend::kFlash, {q_BSHD.device(), q_BSHD.scalar_type(), q_BSHD.size(3)}).empty()) {
    backend = AttentionBackend::kFlash;
  }
  if (q_BSHD.is_cpu() && backend != AttentionBackend::kMath) return cpu_chunk(q_BSHD, k_BKJD, v_BKJD);
  return segment_attention(q_BSHD, k_BKJD, v_BKJD, backend);
}

at::Tensor attend_cache(const at::Tensor& q_BHD, const at::Tensor& k_BXJD, const at::Tensor& v_BXJD,
                        const at::Tensor& lengths_B) {
  HICI_ASSERT(q_BHD.dim() == 3 && k_BXJD.dim() == 4 && k_BXJD.sizes() == v_BXJD.sizes() &&
                  q_BHD.size(0) == k_BXJD.size(0) && q_BHD.size(1) % k_BXJD.size(2) == 0 &&
                  lengths_B.sizes() == q_BHD.sizes().slice(0, 1) && k_BXJD.select(0, 0).is_contiguous() &&
                  v_BXJD.select(0, 0).is_contiguous(),
              "q ", q_BHD.sizes(), " k ", k_BXJD.sizes(), " v ", v_BXJD.sizes(), " lengths ", lengths_B.sizes());
  if (q_BHD.is_cpu()) return cpu_decode(q_BHD, k_BXJD, v_BXJD, lengths_B);
  if (!decode_kernel_takes(q_BHD, k_BXJD)) return masked_decode(q_BHD, k_BXJD, v_BXJD, lengths_B);
  const at::Tensor q = q_BHD.contiguous();
  at::Tensor out_BHD = at::empty_like(q);
  cuda_kernels().decode_attention(q, k_BXJD, v_BXJD, lengths_B, scale_of(q), out_BHD);
  return out_BHD;
}

}  // namespace hici::ops
