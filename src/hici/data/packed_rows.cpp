// SPDX-License-Identifier: Apache-2.0
#include "hici/data/packed_rows.h"

#include "hici/ops/linear_cross_entropy.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <utility>

namespace hici::data {

int64_t padded_to_segments(int64_t length, int64_t segment_length) {
  return segment_length > 0 ? (length + segment_length - 1) / segment_length * segment_length : length;
}

std::vector<std::vector<size_t>> pack_rows(const std::vector<int64_t>& padded, int64_t row_length) {
  std::vector<size_t> order(padded.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return padded[a] > padded[b]; });
  std::vector<std::vector<size_t>> rows;
  std::multimap<int64_t, size_t> rows_by_room;
  for (const size_t sequence : order) {
    const int64_t length = padded[sequence];
    auto fitting = rows_by_room.lower_bound(length);
    if (fitting == rows_by_room.end()) {
      fitting = rows_by_room.emplace(row_length, rows.size());
      rows.emplace_back();
    }
    const auto [room, row] = *fitting;
    rows_by_room.erase(fitting);
    rows[row].push_back(sequence);
    rows_by_room.emplace(room - length, row);
  }
  for (std::vector<size_t>& row : rows) std::sort(row.begin(), row.end());
  std::sort(rows.begin(), rows.end());
  return rows;
}

TokenBatch lay_out_rows(const std::vector<int64_t>& samples, const std::vector<std::vector<RowSequence>>& rows,
                        bool by_itself, const FillSequence& fill) {
  int64_t longest = 0;
  for (const auto& row : rows) {
    const int64_t length = std::accumulate(row.begin(), row.end(), int64_t{0},
                                           [](int64_t sum, const RowSequence& each) { return sum + each.padded; });
    longest = std::max(longest, length);
  }
  const std::vector<int64_t> shape{static_cast<int64_t>(rows.size()), longest};
  TokenBatch batch{at::zeros(shape, at::kLong), at::full(shape, ops::kIgnoredLabel, at::kLong), 0, samples};
  at::Tensor valid_BT = at::zeros(shape, at::kBool);
  for (size_t row = 0; row < rows.size(); ++row) {
    int64_t at = static_cast<int64_t>(row) * longest;
    for (size_t i = 0; i < rows[row].size(); ++i) {
      batch.num_targets += fill(row, i, batch.tokens_BT.mutable_data_ptr<int64_t>() + at,
                                batch.labels_BT.mutable_data_ptr<int64_t>() + at);
      std::fill_n(valid_BT.mutable_data_ptr<bool>() + at, rows[row][i].length, true);
      at += rows[row][i].padded;
    }
  }
  if (!valid_BT.all().item<bool>()) batch.valid_BT = valid_BT;
  const bool same_length = std::all_of(
      rows.begin(), rows.end(), [&](const auto& row) { return row.size() == 1 && row.front().padded == longest; });
  if (!by_itself || same_length) return batch;
  for (const auto& row : rows) {
    std::vector<int64_t>& lengths = batch.sequences.emplace_back();
    for (const RowSequence& each : row) lengths.push_back(each.padded);
  }
  return batch;
}

}  // namespace hici::data
