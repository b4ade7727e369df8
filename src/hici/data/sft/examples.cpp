// SPDX-License-Identifier: Apache-2.0
#include "hici/data/sft/examples.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/sha256.h"
#include "hici/data/packed_rows.h"

#include <algorithm>
#include <iomanip>
#include <sstream>

namespace hici::data {
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
  return padded_to_segments(span.length, layout_.segment_length);
}

void SftExamples::pack() {
  std::vector<int64_t> padded;
  for (const ExampleSpan& span : spans_) padded.push_back(padded_length(span));
  samples_ = pack_rows(padded, layout_.max_length);
}

int64_t SftExamples::fill(const ExampleSpan& span, int64_t* tokens, int64_t* labels) const {
  int64_t targets = 0;
  for (int64_t t = 0; t < span.length; ++t) {
    const size_t from = span.begin + static_cast<size_t>(t);
    tokens[t] = ids_[from];
    if (t == 0 || !is_learned_[from]) continue;
    labels[t - 1] = ids_[from];
    ++targets;
  }
  return targets;
}

TokenBatch SftExamples::batch(const std::vector<int64_t>& samples) const {
  const auto span_of = [&](size_t row, size_t i) -> const ExampleSpan& {
    return spans_[samples_[static_cast<size_t>(samples[row])][i]];
  };
  std::vector<std::vector<RowSequence>> rows;
  for (const int64_t sample : samples) {
    std::vector<RowSequence>& row = rows.emplace_back();
    for (const size_t example : samples_[static_cast<size_t>(sample)])
      row.push_back({spans_[example].length, padded_length(spans_[example])});
  }
  const bool by_itself = layout_.packing || (layout_.segment_length > 0 && layout_.drops_empty_segments);
  return lay_out_rows(samples, rows, by_itself, [&](size_t row, size_t i, int64_t* tokens, int64_t* labels) {
    return fill(span_of(row, i), tokens, labels);
  });
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
