// SPDX-License-Identifier: Apache-2.0
// Rows of a batch that hold one or several sequences, each padded to whole segments, which do not attend to each other.
#pragma once

#include "hici/data/batch_source.h"

#include <cstdint>
#include <functional>
#include <vector>

namespace hici::data {

// `length` in whole segments; segment_length 0: as it is.
int64_t padded_to_segments(int64_t length, int64_t segment_length);

// Best fit, longest sequence first: each goes into the fullest row that can hold it. -> for each row its sequences, in
// their order; rows are in the order of their first sequences. `padded`: length of each, at most `row_length`.
std::vector<std::vector<size_t>> pack_rows(const std::vector<int64_t>& padded, int64_t row_length);

struct RowSequence {
  int64_t length = 0;
  int64_t padded = 0;
};
// Writes the ids of sequence `i` of a row, and labels where there are some; -> their number.
using FillSequence = std::function<int64_t(size_t row, size_t i, int64_t* tokens, int64_t* labels)>;

// The rows of `samples`, as long as the longest. With `by_itself` the sequences of a row do not see each other, and a
// row ends with its last one.
TokenBatch lay_out_rows(const std::vector<int64_t>& samples, const std::vector<std::vector<RowSequence>>& rows,
                        bool by_itself, const FillSequence& fill);

}  // namespace hici::data
