// SPDX-License-Identifier: Apache-2.0
// Documents with their tokens, one behind the other in a token file, and with their words and bytes: what lm-eval's
// rolling log-likelihood is over.
#pragma once

#include "hici/data/token_file.h"
#include "hici/data/tokenize_corpus.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hici::data {

struct Documents {
  TokenFile tokens;
  std::vector<int64_t> ends;  // of document i in `tokens`, behind its last one; ascending
  int64_t prefix_token = 0;   // before each document; in no file
  // Over all documents, words as in text/word_count.h. Nothing where the data were ids.
  std::optional<int64_t> words, bytes;

  int64_t begin_of(size_t document) const { return document == 0 ? 0 : ends[document - 1]; }
  int64_t longest() const;  // tokens
  // Of the tokens and where documents end. For one document that of the token file.
  std::string sha256() const;
};

// A .txt is a document, and so is each row of .jsonl, .json and Arrow data sets, with the special tokens that the
// tokenizer puts around a text, unless the text begins with that of the prefix token. A token file is one document as
// it stands. `prefix_token`: else BOS of the model's tokenizer, else its EOS; none of them is an error.
Documents open_documents(const ModelData& data, const std::optional<TokenTypeChoice>& type,
                         const std::optional<int64_t>& prefix_token);

}  // namespace hici::data
