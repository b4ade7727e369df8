// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/adapter_dropout.h"

#include "hici/base/error.h"
#include "hici/base/split_mix.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

namespace hici::ops {
namespace {

// Tensors have no unsigned numbers of 64 bits: products wrap alike, and what a shift of the sign brings in is masked.
int64_t as_signed(uint64_t value) { return static_cast<int64_t>(value); }

void xor_shifted_(at::Tensor& z, int64_t bits) {
  z.bitwise_xor_(at::bitwise_right_shift(z, at::Scalar(bits)).bitwise_and_(as_signed(~uint64_t{0} >> bits)));
}

// split_mix() of every number. A row is one stream of the generator, that begins at the row's own number.
void mix_(at::Tensor& z) {
  xor_shifted_(z, 30);
  z.mul_(as_signed(kSplitMixFactors[0]));
  xor_shifted_(z, 27);
  z.mul_(as_signed(kSplitMixFactors[1]));
  xor_shifted_(z, 31);
}

// A channel is dropped where its 32 bits, as a signed number, are below this: with the rate to 2^-32.
int64_t threshold_of(double rate) {
  return static_cast<int64_t>(std::llround(std::ldexp(rate, 32))) - (int64_t{1} << 31);
}

}  // namespace

uint64_t dropout_key(const std::vector<uint64_t>& numbers) {
  uint64_t key = 0;
  for (const uint64_t number : numbers) key = split_mix((key ^ split_mix(number + kSplitMixStep)) + kSplitMixStep);
  return key;
}

uint64_t dropout_key_of_name(std::string_view name) {
  return dropout_key(std::vector<uint64_t>(name.begin(), name.end()));
}

at::Tensor dropout_rows(const std::vector<uint64_t>& sequence_keys, int64_t first, int64_t rows, at::Device device) {
  const at::Tensor positions = at::arange(first, first + rows, at::TensorOptions().dtype(at::kLong).device(device));
  std::vector<at::Tensor> keys;
  for (const uint64_t key : sequence_keys) keys.push_back(positions.mul(as_signed(kSplitMixStep)).add_(as_signed(key)));
  at::Tensor all = at::cat(keys);
  mix_(all);
  return all;
}

void drop_channels_(const at::Tensor& t, const AdapterDropout& dropout, uint64_t module_key) {
  HICI_ASSERT(t.dim() == 2 && dropout.rows_n.numel() == t.size(0), "t ", t.sizes(), " keys ", dropout.rows_n.sizes());
  const int64_t channels = t.size(1);
  at::Tensor rows = dropout.rows_n.bitwise_xor(as_signed(module_key));
  mix_(rows);
  // A number of 64 bits decides of two channels.
  const at::Tensor columns = at::arange(1, (channels + 1) / 2 + 1, rows.options()).mul_(as_signed(kSplitMixStep));
  at::Tensor bits = rows.unsqueeze(1) + columns;
  mix_(bits);
  t.masked_fill_(bits.view(at::kInt).narrow(1, 0, channels).lt(threshold_of(dropout.rate)), 0);
}

}  // namespace hici::ops
