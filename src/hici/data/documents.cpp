// SPDX-License-Identifier: Apache-2.0
#include "hici/data/documents.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/is_there.h"
#include "hici/base/log.h"
#include "hici/base/sha256.h"
#include "hici/text/tokenizer.h"
#include "hici/text/word_count.h"

#include <algorithm>
#include <utility>

namespace hici::data {
namespace {

// Nothing where the model has no tokenizer, which ids do not need.
std::optional<text::Tokenizer> tokenizer_of(const ModelData& data) {
  const bool is_folder = std::filesystem::is_directory(data.model);
  if (is_folder && !is_there(data.model / "tokenizer.json")) return std::nullopt;
  return text::Tokenizer::from_path(data.model);
}

int64_t prefix_of(const ModelData& data, const std::optional<text::Tokenizer>& tokenizer) {
  const std::optional<uint32_t> bos = tokenizer ? tokenizer->bos_id() : std::nullopt;
  const std::optional<uint32_t> prefix = bos || !tokenizer ? bos : tokenizer->eos_id();
  HICI_CHECK_USAGE(prefix, "`prefix_token_id`: missing, and ", data.model.string(),
                   tokenizer ? "'s tokenizer names neither a BOS nor an EOS token" : " has no tokenizer.json",
                   "; give the id of the token that stands before a document");
  return *prefix;
}

void check_prefix(int64_t prefix, int64_t vocab_size) {
  HICI_CHECK_USAGE(prefix < vocab_size, "`prefix_token_id`: ", prefix, " is not below the vocabulary of ", vocab_size,
                   "; give the id of a token of the model");
}

Documents one_document(TokenFile tokens, int64_t prefix) {
  HICI_CHECK(tokens.size() > 0, tokens.path().string(), ": holds no tokens");
  if (tokens.info() && tokens.info()->num_documents > 1) {
    log_info(tokens.path().string(), ": is taken as one document, though it was made of ",
             counted(tokens.info()->num_documents, "document"), "; give the texts to score each by itself");
  }
  const int64_t size = tokens.size();
  return {.tokens = std::move(tokens), .ends = {size}, .prefix_token = prefix, .words = {}, .bytes = {}};
}

// What open_tokens() sees of the documents while they become tokens.
class Watch {
 public:
  DocumentWatch hooks() {
    return {.on_piece = [this](const TextPiece& piece) { add(piece); },
            .on_document = [this](int64_t end) { ends_.push_back(end); }};
  }

  Documents documents(TokenFile tokens, int64_t prefix) {
    Documents documents{.tokens = std::move(tokens), .ends = ends_, .prefix_token = prefix, .words = {}, .bytes = {}};
    if (!has_text_) return documents;
    HICI_CHECK(bytes_ > 0, documents.tokens.path().string(), ": holds no text");
    documents.words = words_;
    documents.bytes = bytes_;
    return documents;
  }

 private:
  void add(const TextPiece& piece) {
    has_text_ = true;
    bytes_ += static_cast<int64_t>(piece.text.size());
    count_.add(piece.text);
    if (piece.ends_document) words_ += count_.finish();
  }

  std::vector<int64_t> ends_;
  text::WordCount count_;
  bool has_text_ = false;
  int64_t words_ = 0, bytes_ = 0;
};

}  // namespace

int64_t Documents::longest() const {
  int64_t longest = 0;
  for (size_t i = 0; i < ends.size(); ++i) longest = std::max(longest, ends[i] - begin_of(i));
  return longest;
}

std::string Documents::sha256() const {
  if (ends.size() <= 1) return tokens.sha256();
  Sha256 hash;
  hash.update(tokens.sha256().data(), tokens.sha256().size());
  for (const int64_t end : ends) {
    const std::string text = detail::concat(" ", end);
    hash.update(text.data(), text.size());
  }
  return hash.hex_digest();
}

Documents open_documents(const ModelData& data, const std::optional<TokenTypeChoice>& type,
                         const std::optional<int64_t>& prefix_token) {
  if (prefix_token) check_prefix(*prefix_token, data.vocab_size);
  const bool is_file = is_token_file(data.path, type);
  std::optional<text::Tokenizer> tokenizer;
  if (!is_file || !prefix_token) tokenizer = tokenizer_of(data);
  const int64_t prefix = prefix_token ? *prefix_token : prefix_of(data, tokenizer);
  check_prefix(prefix, data.vocab_size);
  if (is_file) return one_document(open_tokens(data, type), prefix);
  ModelData framed = data;
  if (tokenizer) {
    const auto id = static_cast<uint32_t>(prefix);
    framed.frame.unless_text_begins = tokenizer->decode({&id, 1}, /*skip_special_tokens=*/false);
  }
  Watch watch;
  TokenFile tokens = open_tokens(framed, type, watch.hooks());
  return watch.documents(std::move(tokens), prefix);
}

}  // namespace hici::data
