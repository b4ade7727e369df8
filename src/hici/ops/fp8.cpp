// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/fp8.h"

#include "hici/base/error.h"
#include "hici/device/kernel_table.h"
#include "hici/device/streams.h"
#include "hici/ops/segment_padding.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>

#include <map>
#include <mutex>
#include <tuple>

namespace hici::ops {
namespace {

constexpr auto kFp8 = at::kFloat8_e4m3fn;
constexpr double kLargest = 448;  // of that type
constexpr int kNeededCapability = 89;

// The largest sum that a product forms is in float32, but the card's 8-bit products add short runs with fewer bits; the
// exact way costs a third of their speed and changes a loss by less than its rounding.
constexpr bool kFastSums = true;

Fp8Rows quantise_on_cpu(const at::Tensor& x, const at::Tensor& factor) {
  at::Tensor scaled = x.reshape({-1, x.size(-1)}).to(accumulation_type(x.scalar_type()));
  if (factor.defined()) scaled = scaled * factor;
  const at::Tensor largest_n1 = scaled.abs().amax(-1, /*keepdim=*/true);
  const at::Tensor bound_n1 = at::where(largest_n1 == 0, kLargest, largest_n1);
  return {(scaled * (kLargest / bound_n1)).to(kFp8), bound_n1 / kLargest};
}

at::Tensor product_on_cpu(const Fp8Rows& rows, const at::Tensor& matrix_OI, at::ScalarType accumulation_dtype) {
  return at::mm(rows.rows_nI.to(accumulation_dtype), matrix_OI.to(accumulation_dtype).t()) * rows.scale_n1;
}

// [1, count], filled once for each length and stream: another stream would not wait for the filling. Never freed: the
// device may be gone before statics are.
at::Tensor ones(int64_t count, const at::TensorOptions& options) {
  static std::mutex mutex;
  static auto& kept = *new std::map<std::tuple<c10::DeviceIndex, c10::StreamId, int64_t>, at::Tensor>;
  const std::lock_guard lock(mutex);
  const c10::Stream stream = device::current_stream(options.device());
  at::Tensor& found = kept[{stream.device_index(), stream.id(), count}];
  if (!found.defined()) found = at::ones({1, count}, options.requires_grad(false));
  return found;
}

// Writes or adds to `out` [n, O], contiguous.
void product_on_gpu(at::Tensor out, const Fp8Rows& rows, const at::Tensor& matrix_OI, const at::Tensor& scale_1O,
                    bool accumulate) {
  if (fp8_product_accumulates(out.device())) {
    device::cuda_kernels().fp8_product(out, rows.rows_nI, rows.scale_n1, matrix_OI, scale_1O, accumulate);
    return;
  }
  at::Tensor product = accumulate ? at::empty_like(out) : out;
  at::_scaled_mm_out(product, rows.rows_nI, matrix_OI.t(), rows.scale_n1, scale_1O, /*bias=*/{}, /*scale_result=*/{},
                     out.scalar_type(), kFastSums);
  if (accumulate) out.add_(product);
}

// Segments of `out` with row gaps, one GEMM each: the factors of the rows of all segments do not fit a batch.
void product_to_segments(const at::Tensor& out, const Fp8Rows& rows, const at::Tensor& matrix_OI,
                         const at::Tensor& scale_1O, bool accumulate) {
  const int64_t length = out.size(1);
  for (int64_t g = 0; g < out.size(0); ++g) {
    product_on_gpu(out.select(0, g),
                   {rows.rows_nI.narrow(0, g * length, length), rows.scale_n1.narrow(0, g * length, length)}, matrix_OI,
                   scale_1O, accumulate);
  }
}

}  // namespace

Fp8Matrix quantise_matrix(const at::Tensor& weight, bool has_backward) {
  HICI_ASSERT(weight.dim() == 2, weight.sizes());
  const Fp8Rows rows = quantise_rows(weight.detach(), {});
  // As bytes: not every copy knows the type.
  const auto transposed = [&] { return rows.rows_nI.view(at::kByte).t().contiguous().view(kFp8); };
  // Empty and not undefined: autograd functions take no undefined tensor among others.
  return {rows.rows_nI, has_backward ? transposed() : at::empty({0, 0}, rows.rows_nI.options()),
          rows.scale_n1.squeeze(1)};
}

Fp8Rows quantise_rows(const at::Tensor& x, const at::Tensor& factor) {
  if (!x.is_cuda()) return quantise_on_cpu(x, factor);
  const int64_t rows = x.numel() / x.size(-1);
  Fp8Rows out{at::empty({rows, x.size(-1)}, x.options().dtype(kFp8)),
              at::empty({rows, 1}, x.options().dtype(at::kFloat))};
  const bool has_row_gaps = x.dim() == 3 && as_padded_segments(x).has_value();
  device::cuda_kernels().quantise_rows(has_row_gaps ? x : x.reshape({1, rows, x.size(-1)}), factor, out.rows_nI,
                                       out.scale_n1);
  return out;
}

void fp8_product(const at::Tensor& out, const Fp8Rows& rows, const at::Tensor& matrix_OI,
                 const at::Tensor& channel_scale, bool accumulate) {
  HICI_ASSERT(rows.rows_nI.size(1) == matrix_OI.size(1) && out.size(-1) == matrix_OI.size(0) &&
                  out.numel() == rows.rows_nI.size(0) * out.size(-1),
              "out ", out.sizes(), " rows ", rows.rows_nI.sizes(), " matrix ", matrix_OI.sizes());
  if (!out.is_cuda()) {
    const at::Tensor product = product_on_cpu(rows, matrix_OI, rows.scale_n1.scalar_type());
    const at::Tensor scaled = channel_scale.defined() ? product * channel_scale : product;
    accumulate ? at::Tensor(out).add_(scaled.view(out.sizes())) : at::Tensor(out).copy_(scaled.view(out.sizes()));
    return;
  }
  const at::Tensor scale_1O =
      channel_scale.defined() ? channel_scale.unsqueeze(0) : ones(matrix_OI.size(0), rows.scale_n1.options());
  if (out.numel() == 0) return;
  HICI_ASSERT(out.scalar_type() == at::kBFloat16 && rows.rows_nI.is_contiguous() && matrix_OI.is_contiguous(),
              dtype_name(out.scalar_type()), " ", matrix_OI.strides());
  if (out.is_contiguous()) {
    product_on_gpu(out.view({-1, out.size(-1)}), rows, matrix_OI, scale_1O, accumulate);
  } else {
    product_to_segments(out, rows, matrix_OI, scale_1O, accumulate);
  }
}

// cuBLASLt has factors for rows and channels on Hopper alone.
bool fp8_product_accumulates(c10::Device device) {
  return device.is_cuda() && device::cuda_kernels().device_capability(device.index()) == 90;
}

std::string why_not_fp8(at::Device device, at::ScalarType type, at::IntArrayRef widths) {
  if (!device.is_cuda()) return "";
  for (const int64_t width : widths) {
    if (width % 16 != 0)
      return hici::detail::concat("needs multiples of 16 on a GPU, and a projection is ", width, " wide");
  }
  if (type != at::kBFloat16) return hici::detail::concat("needs --dtype bfloat16 on a GPU, not ", dtype_name(type));
  const int capability = device::cuda_kernels().device_capability(device.index());
  if (capability >= kNeededCapability) return "";
  return hici::detail::concat("needs a GPU of compute capability 8.9 or more, ", device.str(), " has ", capability / 10,
                              ".", capability % 10);
}

}  // namespace hici::ops
