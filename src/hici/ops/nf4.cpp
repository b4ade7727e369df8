// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/nf4.h"

#include "hici/base/error.h"
#include "hici/device/kernel_table.h"
#include "hici/ops/nf4_codes.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <ATen/Dispatch.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace hici::ops {
namespace {

// Values that are quantised at a time: their float32 copy takes 64 MiB.
constexpr int64_t kPieceValues = int64_t{1} << 24;

std::vector<float> known(const std::array<float, 16>& codes) { return {codes.begin(), codes.end()}; }

// Between neighbouring codes, ascending.
at::Tensor midpoints(const std::vector<float>& codes, at::Device device) {
  std::vector<float> middle;
  for (size_t i = 0; i + 1 < codes.size(); ++i) middle.push_back((codes[i] + codes[i + 1]) / 2);
  return at::tensor(middle, at::kFloat).to(device);
}

// The number of the nearest of `codes`, ascending, to each value over the scale of its row, as uint8.
at::Tensor nearest_codes(const at::Tensor& rows_RB, const at::Tensor& scale_R, const at::Tensor& middle) {
  constexpr double kSmallest = 1e-38;  // a block of zeros has scale 0
  const at::Tensor scaled = (rows_RB * scale_R.clamp_min(kSmallest).reciprocal().unsqueeze(1)).clamp_(-1, 1);
  return at::bucketize(scaled, middle, /*out_int32=*/true).to(at::kByte);
}

// The 8-bit numbers that scales are rounded to ("dynamic" quantisation, arXiv 2110.02861): a sign, an exponent of ten
// that takes the more bits the smaller it is, and equal steps between 0.1 and 1; ascending.
std::vector<float> make_scale_codes() {
  constexpr int kExponents = 7;
  std::vector<float> codes{0, 1};
  for (int exponent = 0; exponent < kExponents; ++exponent) {
    const int steps = 1 << exponent;
    const at::Tensor bounds = at::linspace(0.1, 1, steps + 1, at::kFloat);
    const at::Tensor middle = (bounds.narrow(0, 0, steps) + bounds.narrow(0, 1, steps)) / 2.0;
    // The factor is rounded to float32, as in the product of a Python number and a tensor.
    const at::Tensor values = middle * std::pow(10.0, exponent - (kExponents - 1));
    for (int64_t i = 0; i < steps; ++i) {
      const auto value = values[i].item<float>();
      codes.insert(codes.end(), {value, -value});
    }
  }
  std::sort(codes.begin(), codes.end());
  return codes;
}

// Scales in 8 bits.
void quantise_scales(Nf4Matrix& matrix) {
  static const std::vector<float> known_codes = make_scale_codes();
  const at::Tensor mean = matrix.block_scale.mean(), flat = matrix.block_scale - mean;
  const int64_t groups = (flat.numel() + kNf4ScaleGroup - 1) / kNf4ScaleGroup;
  // Zeros at the end of the last group change no largest magnitude.
  const at::Tensor padded = at::constant_pad_nd(flat, {0, groups * kNf4ScaleGroup - flat.numel()});
  const at::Tensor rows = padded.view({groups, kNf4ScaleGroup}), largest = rows.abs().amax(1);
  const at::Tensor codes = nearest_codes(rows, largest, midpoints(known_codes, flat.device()));
  matrix.scale_groups = at::cat({mean.view(1), at::tensor(known_codes, at::kFloat).to(flat.device()), largest});
  matrix.block_scale = codes.view(-1).narrow(0, 0, flat.numel()).clone();
}

// The scale of each block, in float32.
at::Tensor float_scales(const Nf4Matrix& matrix) {
  if (matrix.scale_groups.numel() == 0) return matrix.block_scale;
  // No step waits for the device.
  const int64_t groups = matrix.scale_groups.size(0) - 1 - kNf4ScaleCodes;
  const at::Tensor codes = matrix.scale_groups.narrow(0, 1, kNf4ScaleCodes);
  const at::Tensor of_group = matrix.scale_groups.narrow(0, 1 + kNf4ScaleCodes, groups)
                                  .unsqueeze(1)
                                  .expand({groups, kNf4ScaleGroup})
                                  .reshape(-1)
                                  .narrow(0, 0, matrix.block_scale.numel());
  const at::Tensor scaled = codes.index_select(0, matrix.block_scale.to(at::kInt)) * of_group;
  return scaled + matrix.scale_groups[0];
}

template <typename T>
void unpack_on_cpu(const at::Tensor& weight, const at::Tensor& scale, T* out) {
  const auto* codes = weight.const_data_ptr<uint8_t>();
  const auto* scales = scale.const_data_ptr<float>();
  at::parallel_for(0, scale.numel(), 1024, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      for (int64_t i = 0; i < kNf4Block / 2; ++i) {
        const uint8_t pair = codes[block * (kNf4Block / 2) + i];
        T* const to = out + block * kNf4Block + 2 * i;
        to[0] = static_cast<T>(kNf4Codes[pair >> 4] * scales[block]);
        to[1] = static_cast<T>(kNf4Codes[pair & 15] * scales[block]);
      }
    }
  });
}

}  // namespace

Nf4Matrix quantise_nf4(const at::Tensor& weight, bool has_double_quantisation) {
  HICI_ASSERT(weight.dim() == 2 && why_not_nf4({{weight.size(0), weight.size(1)}}).empty(), weight.sizes());
  const auto options = weight.options().requires_grad(false);
  const int64_t count = weight.numel();
  const at::Tensor flat = weight.detach().reshape(-1), middle = midpoints(known(kNf4Codes), weight.device());
  at::Tensor packed = at::empty({count / 2}, options.dtype(at::kByte));
  at::Tensor scales = at::empty({count / kNf4Block}, options.dtype(at::kFloat));
  for (int64_t first = 0; first < count; first += kPieceValues) {
    const int64_t values = std::min(kPieceValues, count - first);
    const at::Tensor blocks = flat.narrow(0, first, values).to(at::kFloat).view({-1, kNf4Block});
    const at::Tensor largest = blocks.abs().amax(1), codes = nearest_codes(blocks, largest, middle).view({-1, 2});
    const at::Tensor upper = at::bitwise_left_shift(codes.select(1, 0), 4);
    packed.narrow(0, first / 2, values / 2).copy_(at::bitwise_or(upper, codes.select(1, 1)));
    scales.narrow(0, first / kNf4Block, values / kNf4Block).copy_(largest);
  }
  // Empty and not undefined: autograd functions take no undefined tensor among others.
  Nf4Matrix matrix{packed.view({weight.size(0), -1}), scales, at::empty({0}, scales.options())};
  if (has_double_quantisation) quantise_scales(matrix);
  return matrix;
}

at::Tensor unpack_nf4(const Nf4Matrix& matrix, at::ScalarType type) {
  const int64_t rows = matrix.weight.size(0), width = 2 * matrix.weight.size(1);
  const at::Tensor scale = float_scales(matrix).contiguous(), weight = matrix.weight.contiguous();
  at::Tensor out = at::empty({rows, width}, weight.options().dtype(type));
  if (weight.is_cuda()) {
    device::cuda_kernels().unpack_nf4(weight, scale, out);
    return out;
  }
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kHalf, at::kBFloat16, type, "unpack_nf4",
                                  [&] { unpack_on_cpu(weight, scale, out.mutable_data_ptr<scalar_t>()); });
  return out;
}

std::string why_not_nf4(const std::vector<std::pair<int64_t, int64_t>>& shapes) {
  for (const auto& [out, in] : shapes)
    if (in % 2 != 0 || out * in % kNf4Block != 0)
      return hici::detail::concat("needs an even width and blocks of ", kNf4Block, " values, and a projection is ", out,
                                  " x ", in);
  return "";
}

}  // namespace hici::ops
