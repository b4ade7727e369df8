// SPDX-License-Identifier: Apache-2.0
// Training of a tokenizer, by the Rust crate hici_text. In a binary built with HICI_TEXT=OFF the constructor throws an
// error that says so.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace hici::text {

struct BpeTrainingOptions {
  int64_t vocab_size = 8192;  // special tokens and the 256 bytes included
  int64_t min_frequency = 2;  // rarer pairs are not merged
  std::vector<std::string> special_tokens = {"<|bos|>", "<|eos|>", "<|pad|>"};  // these get the ids 0, 1, ...
  std::string bos_token = "";  // one of special_tokens: encoding with special tokens puts it first; "": none
  int num_threads = 0;
};

// Learns a byte-level BPE (the split rule of GPT-2, all 256 bytes as alphabet, no normalization). The result depends on
// the texts only, not on their order nor on the number of threads, and equals `Tokenizer.train` of the Python package.
class BpeTraining {
 public:
  explicit BpeTraining(const BpeTrainingOptions& options);
  // Counts the words of some texts; a word never spans a line end.
  void feed(std::span<const std::string> texts);
  // The content of a tokenizer.json. No text may be added afterwards.
  std::string finish();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

}  // namespace hici::text
