// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/attention_heads.h"

#include "hici/base/error.h"
#include "hici/ops/front_rows.h"
#include "hici/ops/kernel_table.h"
#include "hici/ops/optional_tensor.h"
#include "hici/ops/rms_norm.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace hici::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// [B, T, heads, D] -> [G, S, heads, D], a view of a contiguous tensor.
at::Tensor fold(const at::Tensor& t_BTXD, int64_t segment_length) {
  const at::Tensor t = t_BTXD.contiguous();
  return t.view({t.size(0) * t.size(1) / segment_length, segment_length, t.size(2), t.size(3)});
}

// One buffer [G, P + S, heads, D] with the slots in front, behind `front_rows` rows; the tokens' part is returned as a
// view to be filled.
at::Tensor make_buffer(const at::Tensor& slots_GPJD, const at::Tensor& tokens_GSJD, int64_t front_rows,
                       at::Tensor& tokens_part) {
  const int64_t prefix = slots_GPJD.defined() ? slots_GPJD.size(1) : 0, length = tokens_GSJD.size(1);
  const at::Tensor buffer =
      empty_behind_rows({tokens_GSJD.size(0), prefix + length, tokens_GSJD.size(2), tokens_GSJD.size(3)}, front_rows,
                        tokens_GSJD.options());
  if (prefix > 0) buffer.narrow(1, 0, prefix).copy_(slots_GPJD);
  tokens_part = buffer.narrow(1, prefix, length);
  return buffer;
}

// Rotation of one tensor behind a prefix (q has none, but rows in front of all).
class RotateBehindPrefix : public torch::autograd::Function<RotateBehindPrefix> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& tokens_BTXD,
                            const std::optional<at::Tensor>& slots_GPXD, const at::Tensor& cos, const at::Tensor& sin,
                            int64_t segment_length, int64_t front_rows) {
    const at::Tensor x = fold(tokens_BTXD, segment_length);
    at::Tensor part;
    const at::Tensor buffer = make_buffer(slots_GPXD.value_or(at::Tensor()), x, front_rows, part);
    rotate_into(x, {cos, sin}, 1.0, part);
    ctx->save_for_backward({cos, sin});
    ctx->saved_data["sizes"] = tokens_BTXD.sizes().vec();
    ctx->saved_data["segment_length"] = segment_length;
    return buffer;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const int64_t length = ctx->saved_data["segment_length"].toInt();
    // Rows of a longer buffer are read where they are.
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

// The slots into the free rows before each segment: the whole of what v is a part of, without a copy of v.
class FillRoom : public torch::autograd::Function<FillRoom> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& v_GSJD, const at::Tensor& slots_GPJD) {
    const int64_t prefix = slots_GPJD.size(1), row = v_GSJD.stride(1);
    ctx->saved_data["prefix"] = prefix;
    const at::Tensor buffer = v_GSJD.as_strided(
        {v_GSJD.size(0), prefix + v_GSJD.size(1), v_GSJD.size(2), v_GSJD.size(3)},
        {(prefix + v_GSJD.size(1)) * row, row, v_GSJD.stride(2), 1}, v_GSJD.storage_offset() - prefix * row);
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
    cuda_kernels().rotary(x, tables.cos, tables.sin, sign, y);
    return;
  }
  const int64_t half = x.size(-1) / 2, length = x.size(1), repeats = x.size(0) * length / tables.cos.size(0);
  auto table = [&](const at::Tensor& t) {  // [G, S, 1, D/2], broadcast over heads
    return t.expand({repeats, -1, -1}).reshape({x.size(0), length, 1, half});
  };
  const at::Tensor cos = table(tables.cos), sin = table(sign < 0 ? tables.sin.neg() : tables.sin);
  const auto wide = accumulation_type(x.scalar_type());
  const at::Tensor first = x.narrow(-1, 0, half).to(wide), second = x.narrow(-1, half, half).to(wide);
  y.narrow(-1, 0, half).copy_(at::mul(first, cos).addcmul_(second, sin, -1));
  y.narrow(-1, half, half).copy_(at::mul(second, cos).addcmul_(first, sin));
}

NormedHeads normed_heads(const HeadProjections& in) {
  return {in.q_norm.defined() ? rms_norm(in.q_BTHD, in.q_norm, in.norm_eps) : in.q_BTHD,
          in.k_norm.defined() ? rms_norm(in.k_BTJD, in.k_norm, in.norm_eps) : in.k_BTJD};
}

AttentionHeads place_heads(const HeadProjections& in, const RotaryTables& tables, int64_t segment_length) {
  HICI_ASSERT(in.q_BTHD.dim() == 4 && in.q_BTHD.size(1) == tables.cos.size(0) &&
                  in.q_BTHD.size(3) == 2 * tables.cos.size(1) && in.q_BTHD.size(1) % segment_length == 0,
              "q ", in.q_BTHD.sizes(), " tables ", tables.cos.sizes(), " S ", segment_length);
  const NormedHeads normed = normed_heads(in);
  const int64_t prefix = in.slot_k_GPJD.defined() ? in.slot_k_GPJD.size(1) : 0;
  auto values = [&] {
    if (in.v_has_room) return FillRoom::apply(in.v_BTJD, in.slot_v_GPJD);
    const at::Tensor v = fold(in.v_BTJD, segment_length);
    return prefix > 0 ? at::cat({in.slot_v_GPJD, v}, 1) : v;
  };
  auto rotated = [&](const at::Tensor& tokens, const at::Tensor& slots, int64_t front_rows) {
    return RotateBehindPrefix::apply(tokens, optional_tensor(slots), tables.cos, tables.sin, segment_length,
                                     front_rows);
  };
  return {rotated(normed.q_BTHD, {}, prefix), rotated(normed.k_BTJD, in.slot_k_GPJD, 0), values()};
}

}  // namespace hici::ops
