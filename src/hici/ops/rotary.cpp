// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/rotary.h"

#include "hici/base/error.h"
#include "hici/ops/kernel_table.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace hici::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

at::Tensor rotate(const at::Tensor& input, const at::Tensor& cos, const at::Tensor& sin, double sign) {
  const at::Tensor x = input.contiguous();
  at::Tensor y = at::empty_like(x);
  if (x.is_cuda()) {
    cuda_kernels().rotary(x, cos, sin, sign, y);
    return y;
  }
  const int64_t half = x.size(-1) / 2;
  const at::Tensor c = cos.unsqueeze(1), s = (sin * sign).unsqueeze(1);  // [T, 1, D/2], broadcast over heads
  const auto wide = accumulation_type(x.scalar_type());
  const at::Tensor first = x.narrow(-1, 0, half).to(wide), second = x.narrow(-1, half, half).to(wide);
  y.narrow(-1, 0, half).copy_(at::mul(first, c).addcmul_(second, s, -1));
  y.narrow(-1, half, half).copy_(at::mul(second, c).addcmul_(first, s));
  return y;
}

class Rotary : public torch::autograd::Function<Rotary> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
    ctx->save_for_backward({cos, sin});
    return rotate(x, cos, sin, 1.0);
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    return {rotate(grads[0], saved[0], saved[1], -1.0), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

RotaryFrequencies make_rotary_frequencies(const std::vector<double>& inverse_frequencies, double scale,
                                          at::Device device) {
  return {at::tensor(inverse_frequencies, at::TensorOptions().dtype(at::kDouble)).to(device), scale};
}

RotaryTables make_rotary_tables(const RotaryFrequencies& frequencies, int64_t first_position, int64_t length,
                                at::ScalarType model_type) {
  const at::Tensor positions = at::arange(first_position, first_position + length, frequencies.inverse.options());
  const at::Tensor angles = at::outer(positions, frequencies.inverse);
  const auto type = accumulation_type(model_type);
  return {(angles.cos() * frequencies.scale).to(type), (angles.sin() * frequencies.scale).to(type)};
}

RotaryTables make_rotary_tables(const std::vector<double>& inverse_frequencies, double scale, int64_t first_position,
                                int64_t length, at::ScalarType model_type, at::Device device) {
  return make_rotary_tables(make_rotary_frequencies(inverse_frequencies, scale, device), first_position, length,
                            model_type);
}

at::Tensor rotary(const at::Tensor& x, const RotaryTables& tables) {
  HICI_ASSERT(x.dim() == 4 && x.size(1) == tables.cos.size(0) && x.size(3) == 2 * tables.cos.size(1), "x ", x.sizes(),
              " tables ", tables.cos.sizes());
  return Rotary::apply(x, tables.cos, tables.sin);
}

}  // namespace hici::ops
