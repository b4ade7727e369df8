// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/fp8.h"

#include "hici/base/error.h"
#include "hici/ops/front_rows.h"
#include "hici/ops/kernel_table.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>

namespace hici::ops {
namespace {

constexpr auto kFp8 = at::kFloat8_e4m3fn;
constexpr double kLargest = 448;  // of that type
constexpr int kNeededCapability = 89;

// The largest sum that a product forms is in float32, but the card's 8-bit products add short runs with fewer bits; the
// exact way costs a third of their speed and changes a loss by less than its rounding.
constexpr bool kFastSums = true;

Fp8Rows quantise_on_cpu(const at::Tensor& x, const at::Tensor& factor) {
  at::Tensor wide = x.reshape({-1, x.size(-1)}).to(accumulation_type(x.scalar_type()));
  if (factor.defined()) wide = wide * factor;
  const at::Tensor largest_n1 = wide.abs().amax(-1, /*keepdim=*/true);
  const at::Tensor bound_n1 = at::where(largest_n1 == 0, kLargest, largest_n1);
  return {(wide * (kLargest / bound_n1)).to(kFp8), bound_n1 / kLargest};
}

at::Tensor product_on_cpu(const Fp8Rows& rows, const at::Tensor& matrix_NK, at::ScalarType wide) {
  return at::mm(rows.rows_nK.to(wide), matrix_NK.to(wide).t()) * rows.scale_n1;
}

// Writes to `out` [n, N], contiguous.
void product_on_gpu(at::Tensor out, const Fp8Rows& rows, const at::Tensor& matrix_NK, const at::Tensor& scale_1N) {
  at::_scaled_mm_out(out, rows.rows_nK, matrix_NK.t(), rows.scale_n1, scale_1N, /*bias=*/{}, /*scale_result=*/{},
                     out.scalar_type(), kFastSums);
}

// The segments of `out` that stand apart one by one: the library writes whole matrices.
void product_to_segments(const at::Tensor& out, const Fp8Rows& rows, const at::Tensor& matrix_NK,
                         const at::Tensor& scale_1N) {
  const int64_t length = out.size(1);
  for (int64_t g = 0; g < out.size(0); ++g) {
    product_on_gpu(out.select(0, g),
                   {rows.rows_nK.narrow(0, g * length, length), rows.scale_n1.narrow(0, g * length, length)}, matrix_NK,
                   scale_1N);
  }
}

}  // namespace

Fp8Matrix quantise_matrix(const at::Tensor& weight) {
  HICI_ASSERT(weight.dim() == 2, weight.sizes());
  const Fp8Rows rows = quantise_rows(weight.detach(), {});
  // As bytes: not every copy knows the type.
  const at::Tensor transposed = rows.rows_nK.view(at::kByte).t().contiguous().view(kFp8);
  return {rows.rows_nK, transposed, rows.scale_n1.squeeze(1)};
}

Fp8Rows quantise_rows(const at::Tensor& x, const at::Tensor& factor) {
  if (!x.is_cuda()) return quantise_on_cpu(x, factor);
  const int64_t rows = x.numel() / x.size(-1);
  Fp8Rows out{at::empty({rows, x.size(-1)}, x.options().dtype(kFp8)),
              at::empty({rows, 1}, x.options().dtype(at::kFloat))};
  const bool is_apart = x.dim() == 3 && has_front_rows(x, 0);
  cuda_kernels().quantise_rows(is_apart ? x : x.reshape({1, rows, x.size(-1)}), factor, out.rows_nK, out.scale_n1);
  return out;
}

void fp8_product(const at::Tensor& out, const Fp8Rows& rows, const at::Tensor& matrix_NK,
                 const at::Tensor& channel_scale, bool adds) {
  HICI_ASSERT(rows.rows_nK.size(1) == matrix_NK.size(1) && out.size(-1) == matrix_NK.size(0) &&
                  out.numel() == rows.rows_nK.size(0) * out.size(-1),
              "out ", out.sizes(), " rows ", rows.rows_nK.sizes(), " matrix ", matrix_NK.sizes());
  if (!out.is_cuda()) {
    const at::Tensor product = product_on_cpu(rows, matrix_NK, rows.scale_n1.scalar_type());
    const at::Tensor scaled = channel_scale.defined() ? product * channel_scale : product;
    adds ? at::Tensor(out).add_(scaled.view(out.sizes())) : at::Tensor(out).copy_(scaled.view(out.sizes()));
    return;
  }
  const at::Tensor scale_1N =
      channel_scale.defined() ? channel_scale.unsqueeze(0) : at::ones({1, matrix_NK.size(0)}, rows.scale_n1.options());
  if (adds) {
    at::Tensor product = at::empty({rows.rows_nK.size(0), matrix_NK.size(0)}, out.options());
    product_on_gpu(product, rows, matrix_NK, scale_1N);
    at::Tensor(out).add_(product.view(out.sizes()));
  } else if (out.is_contiguous()) {
    product_on_gpu(out.view({-1, out.size(-1)}), rows, matrix_NK, scale_1N);
  } else {
    product_to_segments(out, rows, matrix_NK, scale_1N);
  }
}

std::string why_not_fp8(at::Device device, at::ScalarType type, at::IntArrayRef widths) {
  if (!device.is_cuda()) return "";
  for (const int64_t width : widths) {
    if (width % 16 != 0)
      return hici::detail::concat("needs multiples of 16 on a GPU, and a projection is ", width, " wide");
  }
  if (type != at::kBFloat16) return hici::detail::concat("needs --dtype bfloat16 on a GPU, not ", dtype_name(type));
  const int capability = cuda_kernels().device_capability(device.index());
  if (capability >= kNeededCapability) return "";
  return hici::detail::concat("needs a GPU of compute capability 8.9 or more, ", device.str(), " has ", capability / 10,
                              ".", capability % 10);
}

}  // namespace hici::ops
