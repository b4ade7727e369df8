// SPDX-License-Identifier: Apache-2.0
// The examples of supervised fine-tuning as a trainer takes them: tokenized once, held in memory (5 bytes a token).
//
// A sample is one example, its rows padded on the right; or, packed, a row of several examples that do not see each
// other, each padded to whole segments. Labels are those of the answers alone.
#pragma once

#include "hici/data/batch_source.h"
#include "hici/data/sft/encoder.h"

#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace hici::data {

struct SftLayout {
  int64_t max_length = 0;      // longer examples lose their end; S divides it
  int64_t segment_length = 0;  // S: every sequence is padded to a multiple of it; 0: a sequence is one segment
  bool packing = false;
  // With S, rows of a batch are sequences of their own lengths (TokenBatch::sequences), so that segments of nothing but
  // padding are not looked at: in causal mode none they would be seen by all others. False: they stay, one T for all.
  bool drops_empty_segments = true;
};

struct SftCounts {
  int64_t examples = 0;   // that are learned from
  int64_t tokens = 0;     // of these
  int64_t learned = 0;    // tokens with loss
  int64_t truncated = 0;  // examples that lost their end
  int64_t dropped = 0;    // of these, the ones that lost all of their answer; not among `examples`
  int64_t chats = 0;      // of `examples`, the conversations, which go through a chat template
};

class SftExamples : public BatchSource {
 public:
  explicit SftExamples(const SftLayout& layout) : layout_(layout) {}

  // Cuts the example to max_length and keeps it if anything of its answer is left.
  void add(const SftExample& example, bool is_chat = false);
  // After the last add(): puts examples together to samples.
  void finish();

  int64_t num_samples() const override { return static_cast<int64_t>(samples_.size()); }
  TokenBatch batch(const std::vector<int64_t>& samples) const override;

  const SftCounts& counts() const { return counts_; }
  // A hash of all ids and of what is learned.
  std::string fingerprint() const;

 private:
  struct ExampleSpan {
    size_t begin = 0;
    int64_t length = 0;
  };
  int64_t padded_length(const ExampleSpan& span) const;
  void pack();

  SftLayout layout_;
  SftCounts counts_;
  std::vector<uint32_t> ids_;        // of all examples, one behind the other
  std::vector<uint8_t> is_learned_;  // 0 or 1
  std::vector<ExampleSpan> spans_;
  std::vector<std::vector<size_t>> samples_;  // of examples
};

// "120 examples, 34000 tokens, ..." for the log.
std::string describe(const SftCounts& counts, int64_t max_length);

}  // namespace hici::data
