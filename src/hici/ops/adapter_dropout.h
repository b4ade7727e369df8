// SPDX-License-Identifier: Apache-2.0
// Dropout of what an adapter reads. Whether a channel of a row is dropped is a hash of numbers that say which row,
// adapter and channel it is: nothing is drawn and nothing is kept, so that a mask is the same whenever it is asked for,
// in both passes, in a layer that runs again, and in whichever process the row is.
// n rows of C channels
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>
#include <vector>

namespace hici::ops {

// One number from several; equal ones give equal numbers, and any change gives an unrelated one.
uint64_t dropout_key(const std::vector<uint64_t>& numbers);
uint64_t dropout_key_of_name(std::string_view name);

struct AdapterDropout {
  double rate = 0;    // 0 to below 1; 0: none
  at::Tensor rows_n;  // int64, a key for each row; read with a rate

  bool any() const { return rate > 0; }
};

// Keys of the rows of several sequences that follow each other, `rows` of each: those at `first` and after it.
at::Tensor dropout_rows(const std::vector<uint64_t>& sequence_keys, int64_t first, int64_t rows, at::Device device);

// Zeros in place of the dropped channels of t [n, C], which is not scaled. `module_key`: of the adapter. Work and
// memory beside t are those of all n rows at once: a caller with many takes some at a time.
void drop_channels_(const at::Tensor& t, const AdapterDropout& dropout, uint64_t module_key);

}  // namespace hici::ops
