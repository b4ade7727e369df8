// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/swiglu.h"

#include "hici/base/error.h"
#include "hici/device/kernel_table.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

namespace hici::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

class SwiGlu : public torch::autograd::Function<SwiGlu> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& gate_in, const at::Tensor& up_in) {
    const at::Tensor gate = gate_in.contiguous(), up = up_in.contiguous();
    ctx->save_for_backward({gate, up});
    if (!gate.is_cuda()) return at::silu(gate).mul_(up);
    at::Tensor y = at::empty_like(gate);
    device::cuda_kernels().swiglu_forward(gate, up, y);
    return y;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const at::Tensor &gate = saved[0], &up = saved[1];
    const at::Tensor dy = grads[0].contiguous();
    if (!gate.is_cuda()) return {at::silu_backward(dy * up, gate), at::silu(gate).mul_(dy)};
    at::Tensor dgate = at::empty_like(gate), dup = at::empty_like(up);
    device::cuda_kernels().swiglu_backward(dy, gate, up, dgate, dup);
    return {dgate, dup};
  }
};

}  // namespace

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) {
  HICI_ASSERT(gate.sizes() == up.sizes() && gate.scalar_type() == up.scalar_type(), "gate ", gate.sizes(), " up ",
              up.sizes());
  return SwiGlu::apply(gate, up);
}

}  // namespace hici::ops
