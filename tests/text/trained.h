// SPDX-License-Identifier: Apache-2.0
// A small tokenizer, trained on the spot on text in several scripts.
#pragma once

#include "hici/base/file.h"
#include "hici/text/bpe_training.h"
#include "hici/text/tokenizer.h"
#include "support/temporary_folder.h"

#include <string>
#include <vector>

namespace hici::testing {

inline const std::string& mixed_text() {
  static const std::string text =
      "The quick brown fox jumps over the lazy dog. The dog doesn't mind; it's 12345 times lazier.\n"
      "Größe, naïve, café, e\u0301tude \u0301\u0301.\r\nΕλληνικά και русский текст.\n"
      "日本語の文章と中文字符。한국어 문장.\n\n   indented\t\ttabs   \n"
      "emoji 😀👩‍👩‍👧‍👦🇩🇪 and a NUL-free end";
  return text;
}

// Saved in `folder` with tokenizer_config.json; the specials <s> and </s> have the ids 0 and 1.
inline text::Tokenizer train_small_tokenizer(const TemporaryFolder& folder, bool puts_bos = false,
                                             int num_threads = 2) {
  text::BpeTraining training(
      {.vocab_size = 400, .special_tokens = {"<s>", "</s>"}, .bos_token = puts_bos ? "<s>" : "", .num_threads = 1});
  training.feed(std::vector<std::string>(3, mixed_text()));
  write_file_atomically(folder / "tokenizer.json", training.finish());
  write_file_atomically(folder / "tokenizer_config.json",
                        text::tokenizer_config_json({.bos = "<s>", .eos = "</s>"}, std::nullopt));
  return text::Tokenizer::from_path(folder.path(), num_threads);
}

}  // namespace hici::testing
