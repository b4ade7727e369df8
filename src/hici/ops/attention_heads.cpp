// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/attention_heads.h"

#include "hici/base/error.h"
#include "hici/device/kernel_table.h"
#include "hici/ops/optional_tensor.h"
#include "hici/ops/rms_norm.h"
#include "hici/ops/segment_padding.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace hici::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// [B, T, heads, D] -> [G, S, heads, D], a view of a contiguous tensor.
at::Tensor fold(const at::Tensor& t_BTZD, int64_t segment_length) {
  const at::Tensor t = t_BTZD.contiguous();
  return t.view({t.size(0) * t.size(1) / segment_length, segment_length, t.size(2), t.size(3)});
}

// A buffer [G, P + S, heads, D] with `leading_rows` rows before it and the slots in the first P rows of each segment.
// `tokens_part` is the uninitialised view of the tokens' rows.
at::Tensor make_buffer(const at::Tensor& slots_GPJD, const at::Tensor& tokens_GSJD, int64_t leading_rows,
                       at::Tensor& tokens_part) {
  const int64_t prefix = slots_GPJD.defined() ? slots_GPJD.size(1) : 0, length = tokens_GSJD.size(1);
  const at::Tensor buffer =
      empty_with_leading_rows({tokens_GSJD.size(0), prefix + length, tokens_GSJD.size(2), tokens_GSJD.size(3)},
                              leading_rows, tokens_GSJD.options());
  if (prefix > 0) buffer.narrow(1, 0, prefix).copy_(slots_GPJD);
  tokens_part = buffer.narrow(1, prefix, length);
  return buffer;
}

// Rotation of k after a prefix, or of q, which has no prefix but leading rows.
class RotateAfterPrefix : public torch::autograd::Function<RotateAfterPrefix> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& tokens_BTZD,
                            const std::optional<at::Tensor>& slots_GPZD, const at::Tensor& cos, const at::Tensor& sin,
                            int64_t segment_length, int64_t leading_rows) {
    const at::Tensor x = fold(tokens_BTZD, segment_length);
    at::Tensor part;
    const at::Tensor buffer = make_buffer(slots_GPZD.value_or(at::Tensor()), x, leading_rows, part);
    rotate_into(x, {cos, sin}, 1.0, part);
    ctx->save_for_backward({cos, sin});
    ctx->saved_data["sizes"] = tokens_BTZD.sizes().vec();
    ctx->saved_data["segment_length"] = segment_length;
    return buffer;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const int64_t length = ctx->saved_data["segment_length"].toInt();
    // Segments with row gaps are read in place.
    const at::Tensor dbuffer = grads[0].select(0, 0).is_contiguous() ? grads[0] : grads[0].contiguous();
    const int64_t prefix = dbuffer.size(1) - length;
    at::Tensor dx = at::empty(ctx->saved_data["sizes"].toIntVector(), dbuffer.options());
    at::Tensor folded = fold(dx, length);
    rotate_into(dbuffer.narrow(1, prefix, length), {saved[0], saved[1]}, -1.0, folded);
    variable_list result(6);  // tables, length and rows have no gradient
    result[0] = dx;
    if (prefix > 0) result[1] = dbuffer.narrow(1, 0, prefix);
    return result;
  }
};

// Writes the slots into the free rows before each segment of v and returns the whole buffer. v is not copied.
class WritePrefixInPlace : public torch::autograd::Function<WritePrefixInPlace> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& v_GSJD, const at::Tensor& slots_GPJD) {
    const int64_t prefix = slots_GPJD.size(1);
    ctx->saved_data["prefix"] = prefix;
    const std::optional<PaddedSegments> v = as_padded_segments(v_GSJD);
    HICI_ASSERT(v && v->has_prefix_rows(prefix), "v ", v_GSJD.sizes(), " without ", prefix,
                " rows before each segment");
    const at::Tensor buffer = v->with_prefix_rows(prefix);
    buffer.narrow(1, 0, prefix).copy_(slots_GPJD);
    return buffer;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const int64_t prefix = ctx->saved_data["prefix"].toInt();
    return {grads[0].narrow(1, prefix, grads[0].size(1) - prefix), grads[0].narrow(1, 0, prefix)};
  }
};

}  // namespace

void rotate_into(const at::Tensor& x, const RotaryTables& tables, double sign, at::Tensor& y) {
  if (x.is_cuda()) {
    device::cuda_kernels().rotary(x, tables.cos, tables.sin, sign, y);
    return;
  }
  const int64_t half = x.size(-1) / 2, length = x.size(1), repeats = x.size(0) * length / tables.cos.size(0);
  auto table = [&](const at::Tensor& t) {  // [G, S, 1, D/2], broadcast over heads
    return t.expand({repeats, -1, -1}).reshape({x.size(0), length, 1, half});
  };
  const at::Tensor cos = table(tables.cos), sin = table(sign < 0 ? tables.sin.neg() : tables.sin);
  const auto accumulation_dtype = accumulation_type(x.scalar_type());
  const at::Tensor first = x.narrow(-1, 0, half).to(accumulation_dtype),
                   second = x.narrow(-1, half, half).to(accumulation_dtype);
  y.narrow(-1, 0, half).copy_(at::mul(first, cos).addcmul_(second, sin, -1));
  y.narrow(-1, half, half).copy_(at::mul(second, cos).addcmul_(first, sin));
}

NormedHeads normed_heads(const QkvProjections& in) {
  return {in.q_norm.defined() ? rms_norm(in.q_BTHD, in.q_norm, in.norm_eps) : in.q_BTHD,
          in.k_norm.defined() ? rms_norm(in.k_BTJD, in.k_norm, in.norm_eps) : in.k_BTJD};
}

AttentionHeads prepare_qkv(const QkvProjections& in, const RotaryTables& tables, int64_t segment_length) {
  HICI_ASSERT(in.q_BTHD.dim() == 4 && in.q_BTHD.size(1) == tables.cos.size(0) &&
                  in.q_BTHD.size(3) == 2 * tables.cos.size(1) && in.q_BTHD.size(1) % segment_length == 0,
              "q ", in.q_BTHD.sizes(), " tables ", tables.cos.sizes(), " S ", segment_length);
  const NormedHeads normed = normed_heads(in);
  const int64_t prefix = in.slot_k_GPJD.defined() ? in.slot_k_GPJD.size(1) : 0;
  auto values = [&] {
    if (in.v_has_prefix_rows) return WritePrefixInPlace::apply(in.v_BTJD, in.slot_v_GPJD);
    const at::Tensor v = fold(in.v_BTJD, segment_length);
    return prefix > 0 ? at::cat({in.slot_v_GPJD, v}, 1) : v;
  };
  auto rotated = [&](const at::Tensor& tokens, const at::Tensor& slots, int64_t leading_rows) {
    return RotateAfterPrefix::apply(tokens, optional_tensor(slots), tables.cos, tables.sin, segment_length,
                                    leading_rows);
  };
  return {rotated(normed.q_BTHD, {}, prefix), rotated(normed.k_BTJD, in.slot_k_GPJD, 0), values()};
}

}  // namespace hici::ops
