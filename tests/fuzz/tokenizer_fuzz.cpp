// SPDX-License-Identifier: Apache-2.0
// tokenizer.json, through the Rust crate: whatever it says of a file must come back as one clean line.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/text/tokenizer.h"

namespace hici::fuzz {

void read_tokenizer(std::string_view bytes) {
  static const ScratchFolder folder;
  const text::Tokenizer tokenizer = text::Tokenizer::from_path(folder.write("tokenizer.json", bytes), 1);
  const text::Ids ids = tokenizer.encode("The quick brown fox.", true);
  tokenizer.decode(ids, false);
}

std::vector<std::string> tokenizer_seeds() {
  text::BpeTraining training({.vocab_size = 270, .special_tokens = {"<s>"}, .bos_token = "<s>", .num_threads = 1});
  training.feed(std::vector<std::string>(3, "The quick brown fox jumps over the lazy dog. "));
  return {training.finish()};
}

}  // namespace hici::fuzz
