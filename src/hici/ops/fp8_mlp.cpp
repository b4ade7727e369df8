// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/fp8_mlp.h"

#include "hici/base/error.h"
#include "hici/device/kernel_table.h"
#include "hici/ops/few_rows_linear.h"
#include "hici/ops/fp8.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace hici::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

Fp8Rows empty_rows(const at::Tensor& like_nI) {
  return {at::empty(like_nI.sizes(), like_nI.options().dtype(at::kFloat8_e4m3fn)),
          at::empty({like_nI.size(0), 1}, like_nI.options().dtype(at::kFloat))};
}

at::Tensor product(const Fp8Rows& rows, const at::Tensor& matrix_OI, const at::Tensor& channel_scale) {
  const at::TensorOptions options = rows.rows_nI.options().dtype(at::kBFloat16);
  at::Tensor out = at::empty({rows.rows_nI.size(0), matrix_OI.size(0)}, options);
  fp8_product(out, rows, matrix_OI, channel_scale, /*accumulate=*/false);
  return out;
}

// Matrices: gate, up and down, each with its transpose and its scale.
class Fp8Mlp : public torch::autograd::Function<Fp8Mlp> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, at::TensorList matrices) {
    const Fp8Rows rows = quantise_rows(x, {});
    const at::Tensor gate = product(rows, matrices[0], matrices[2]), up = product(rows, matrices[3], matrices[5]);
    Fp8Rows inner = empty_rows(gate);
    device::cuda_kernels().quantise_swiglu(gate, up, inner.rows_nI, inner.scale_n1);
    variable_list saved{gate, up};
    saved.insert(saved.end(), matrices.begin(), matrices.end());
    ctx->save_for_backward(std::move(saved));
    return product(inner, matrices[6], matrices[8]).view(x.sizes());
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1];
    const at::TensorList matrices = at::TensorList(saved).slice(2);
    HICI_ASSERT(matrices[1].numel() > 0, "a gradient through matrices that were quantised without a backward pass");
    const at::Tensor dy = product(quantise_rows(grads[0], matrices[8]), matrices[7], {});
    Fp8Rows dgate = empty_rows(gate), dup = empty_rows(up);
    device::cuda_kernels().quantise_swiglu_backward(dy, gate, up, matrices[2], matrices[5], dgate.rows_nI,
                                                    dgate.scale_n1, dup.rows_nI, dup.scale_n1);
    at::Tensor dx = product(dgate, matrices[1], {});
    fp8_product(dx, dup, matrices[4], {}, /*accumulate=*/true);
    variable_list result(1 + static_cast<size_t>(matrices.size()));
    result[0] = dx.view(grads[0].sizes());
    return result;
  }
};

}  // namespace

bool fp8_mlp_supports(const at::Tensor& x, const MlpWeights& weights) {
  const LoraWeights* const all[] = {&weights.gate, &weights.up, &weights.down};
  for (const LoraWeights* each : all)
    if (!is_fp8(each->weight) || each->a.defined()) return false;
  return x.is_cuda() && x.scalar_type() == at::kBFloat16 && x.is_contiguous() &&
         !few_rows_linears_support(x, {weights.gate, weights.up});
}

at::Tensor fp8_mlp(const at::Tensor& x, const MlpWeights& weights) {
  std::vector<at::Tensor> matrices;
  for (const LoraWeights* each : {&weights.gate, &weights.up, &weights.down})
    matrices.insert(matrices.end(), {each->weight, each->transposed, each->channel_scale});
  return Fp8Mlp::apply(x, at::TensorList(matrices));
}

}  // namespace hici::ops
