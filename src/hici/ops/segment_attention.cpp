// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/segment_attention.h"

#include "hici/base/error.h"

#include <ATen/ATen.h>

namespace hici::ops {

at::Tensor segment_attention(const at::Tensor& q_GSHD, const at::Tensor& k_GKJD, const at::Tensor& v_GKJD) {
  const int64_t prefix = k_GKJD.size(1) - q_GSHD.size(1);
  HICI_ASSERT(prefix >= 0 && q_GSHD.size(2) % k_GKJD.size(2) == 0, "q ", q_GSHD.sizes(), " k ", k_GKJD.sizes());
  at::Tensor q = q_GSHD.transpose(1, 2);
  // LibTorch's causal mask is aligned to the top left. P rows of zeros in front of the queries make the problem square,
  // so that row P + i sees keys 0..P + i, which is the mask wanted; the rows are dropped again and get no gradient.
  if (prefix > 0) q = at::constant_pad_nd(q, {0, 0, prefix, 0});
  const bool grouped = q_GSHD.size(2) != k_GKJD.size(2);
  at::Tensor out =
      at::scaled_dot_product_attention(q, k_GKJD.transpose(1, 2), v_GKJD.transpose(1, 2), /*attn_mask=*/{},
                                       /*dropout_p=*/0.0, /*is_causal=*/true, /*scale=*/std::nullopt, grouped);
  if (prefix > 0) out = out.narrow(2, prefix, q_GSHD.size(1));
  return out.transpose(1, 2);
}

}  // namespace hici::ops
