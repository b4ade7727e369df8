// SPDX-License-Identifier: Apache-2.0
#include "hici/data/sft/examples.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/sha256.h"
#include "hici/ops/linear_cross_entropy.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <iomanip>
#include <map>
#include <numeric>
#include <sstream>

namespace hici::data {
namespace {

int64_t round_up(int64_t value, int64_t multiple) { return (value + multiple - 1) / multiple * multiple; }

}  // namespace

void SftExamples::add(const SftExample& example, bool is_chat) {
  const auto whole = static_cast<int64_t>(example.ids.size()), length = std::min(whole, layout_.max_length);
  counts_.truncated += whole > length ? 1 : 0;
  // No position predicts the first token.
  const auto learned =
      length < 2 ? 0 : std::count(example.is_learned.begin() + 1, example.is_learned.begin() + length, true);
  if (learned == 0) {
    ++counts_.dropped;
    return;
  }
  spans_.push_back({ids_.size(), length});
  ids_.insert(ids_.end(), example.ids.begin(), example.ids.begin() + length);
  is_learned_.insert(is_learned_.end(), example.is_learned.begin(), example.is_learned.begin() + length);
  ++counts_.examples;
  counts_.chats += is_chat ? 1 : 0;
  counts_.tokens += length;
  counts_.learned += learned;
}

void SftExamples::finish() {
  samples_.clear();
  if (layout_.packing) return pack();
  for (size_t i = 0; i < spans_.size(); ++i) samples_.push_back({i});
}

int64_t SftExamples::padded_length(const ExampleSpan& span) const {
  return layout_.segment_length > 0 ? round_up(span.length, layout_.segment_length) : span.length;
}

// Best fit, longest example first: each example goes into the fullest row that can hold it. Afterwards rows are in the
// file order of their first examples, and the examples of a row in file order.
void SftExamples::pack() {
  std::vector<size_t> order(spans_.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return padded_length(spans_[a]) > padded_length(spans_[b]); });
  std::multimap<int64_t, size_t> rows_by_room;
  for (const size_t example : order) {
    const int64_t length = padded_length(spans_[example]);
    auto fitting = rows_by_room.lower_bound(length);
    if (fitting == rows_by_room.end()) {
      fitting = rows_by_room.emplace(layout_.max_length, samples_.size());
      samples_.emplace_back();
    }
    const auto [room, row] = *fitting;
    rows_by_room.erase(fitting);
    samples_[row].push_back(example);
    rows_by_room.emplace(room - length, row);
  }
  for (std::vector<size_t>& sample : samples_) std::sort(sample.begin(), sample.end());
  std::sort(samples_.begin(), samples_.end());
}

TokenBatch SftExamples::batch(const std::vector<int64_t>& samples) const {
  SequenceLengths lengths;
  int64_t longest = 0;
  for (const int64_t sample : samples) {
    std::vector<int64_t>& row = lengths.emplace_back();
    for (const size_t example : samples_[static_cast<size_t>(sample)]) row.push_back(padded_length(spans_[example]));
    longest = std::max(longest, std::accumulate(row.begin(), row.end(), int64_t{0}));
  }
  const std::vector<int64_t> shape{static_cast<int64_t>(samples.size()), longest};
  TokenBatch batch{at::zeros(shape, at::kLong), at::full(shape, ops::kIgnoredLabel, at::kLong), 0, samples};
  at::Tensor valid_BT = at::zeros(shape, at::kBool);
  for (size_t row = 0; row < samples.size(); ++row) {
    int64_t at = static_cast<int64_t>(row) * longest;
    for (size_t i = 0; i < lengths[row].size(); ++i) {
      const ExampleSpan& span = spans_[samples_[static_cast<size_t>(samples[row])][i]];
      for (int64_t t = 0; t < span.length; ++t) {
        const size_t from = span.begin + static_cast<size_t>(t);
        batch.tokens_BT.mutable_data_ptr<int64_t>()[at + t] = ids_[from];
        valid_BT.mutable_data_ptr<bool>()[at + t] = true;
        if (t == 0 || !is_learned_[from]) continue;
        batch.labels_BT.mutable_data_ptr<int64_t>()[at + t - 1] = ids_[from];
        ++batch.num_targets;
      }
      at += lengths[row][i];
    }
  }
  if (!valid_BT.all().item<bool>()) batch.valid_BT = valid_BT;
  const bool same_length = std::all_of(lengths.begin(), lengths.end(),
                                       [&](const auto& row) { return row.size() == 1 && row.front() == longest; });
  const bool by_itself = layout_.packing || (layout_.segment_length > 0 && layout_.drops_empty_segments);
  if (by_itself && !same_length) batch.sequences = std::move(lengths);
  return batch;
}

std::string SftExamples::fingerprint() const {
  Sha256 hash;
  hash.update(ids_.data(), ids_.size() * sizeof ids_[0]);
  hash.update(is_learned_.data(), is_learned_.size());
  for (const ExampleSpan& span : spans_) hash.update(&span.length, sizeof span.length);
  return hash.hex_digest();
}

std::string describe(const SftCounts& counts, int64_t max_length) {
  const double share =
      100.0 * static_cast<double>(counts.learned) / static_cast<double>(std::max<int64_t>(counts.tokens, 1));
  std::ostringstream out;
  out << counted(counts.examples, "example") << ", " << counted(counts.tokens, "token") << ", " << std::fixed
      << std::setprecision(1) << share << " % of them with loss; " << counts.truncated << " truncated to " << max_length
      << ", " << counts.dropped << " of these dropped (no token of the answer left)";
  return out.str();
}

}  // namespace hici::data
