// SPDX-License-Identifier: Apache-2.0
// The examples of supervised fine-tuning as a BatchSource: tokenized once and held in memory (5 bytes per token).
//
// A sample is one example, padded on the right. With packing a sample is a row of several examples, each padded to
// whole segments; they do not attend to each other. Only tokens of answers have labels.
#pragma once

#include "hici/data/batch_source.h"
#include "hici/data/sft/encoder.h"

#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace hici::data {

struct SftLayout {
  int64_t max_length = 0;      // longer examples are truncated at the end; S divides it
  int64_t segment_length = 0;  // S: every sequence is padded to a multiple of it; 0: a sequence is one segment
  bool packing = false;
  // With S, the rows of a batch are sequences of their own lengths (TokenBatch::sequences). Segments that are all
  // padding are left out, because in causal mode none all other segments would read their slots. False: such segments
  // stay, and all rows have the same T.
  bool drops_empty_segments = true;
};

struct SftCounts {
  int64_t examples = 0;   // that were kept
  int64_t tokens = 0;     // in them
  int64_t learned = 0;    // tokens with a label
  int64_t truncated = 0;  // examples longer than max_length
  int64_t dropped = 0;    // with no token of the answer left; not in `examples`
  int64_t chats = 0;      // conversations in `examples`
};

class SftExamples : public BatchSource {
 public:
  explicit SftExamples(const SftLayout& layout) : layout_(layout) {}

  // Truncates the example to max_length. Drops it if no token of its answer is left.
  void add(const SftExample& example, bool is_chat = false);
  // After the last add(): makes samples of the examples.
  void finish();

  int64_t num_samples() const override { return static_cast<int64_t>(samples_.size()); }
  TokenBatch batch(const std::vector<int64_t>& samples) const override;

  const SftCounts& counts() const { return counts_; }
  // A hash of all ids and labels.
  std::string fingerprint() const;

 private:
  struct ExampleSpan {
    size_t begin = 0;
    int64_t length = 0;
  };
  int64_t padded_length(const ExampleSpan& span) const;
  void pack();
  // -> the number of labels.
  int64_t fill(const ExampleSpan& span, int64_t* tokens, int64_t* labels) const;

  SftLayout layout_;
  SftCounts counts_;
  std::vector<uint32_t> ids_;        // of all examples, concatenated
  std::vector<uint8_t> is_learned_;  // 0 or 1
  std::vector<ExampleSpan> spans_;
  std::vector<std::vector<size_t>> samples_;  // of examples
};

// "120 examples, 34000 tokens, ..." for the log.
std::string describe(const SftCounts& counts, int64_t max_length);

}  // namespace hici::data
