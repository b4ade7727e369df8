// SPDX-License-Identifier: Apache-2.0
// The documents of a token file as a BatchSource: rows of whole documents that do not attend to each other.
#pragma once

#include "hici/data/batch_source.h"
#include "hici/data/token_file.h"

#include <cstdint>
#include <set>
#include <vector>

namespace hici::data {

// Tokens by which documents are told apart.
struct DocumentMarks {
  std::set<int64_t> ends = {};    // the last token of a document
  std::set<int64_t> starts = {};  // the first one
};

struct DocumentLayout {
  int64_t row_length = 0;      // longer documents are cut into pieces of it, each a sequence of its own
  int64_t segment_length = 0;  // every sequence is padded to a multiple of it; 0: a sequence is one segment
};

class DocumentRows : public BatchSource {
 public:
  // Reads the file once. One in which no mark stands, other than at its ends, is an error that begins with its path and
  // names `subject`. Pieces of one token predict nothing and are left out. `tokens` must outlive it.
  DocumentRows(const TokenFile& tokens, const DocumentMarks& marks, const DocumentLayout& layout,
               const std::string& subject);

  int64_t num_samples() const override { return static_cast<int64_t>(rows_.size()); }
  TokenBatch batch(const std::vector<int64_t>& samples) const override;

  int64_t num_documents() const { return num_documents_; }
  int64_t num_cut() const { return num_cut_; }        // longer than a row
  int64_t num_tokens() const { return num_tokens_; }  // in rows, without padding

 private:
  struct Piece {
    int64_t begin = 0;
    int64_t length = 0;
  };
  void find_pieces(const DocumentMarks& marks);
  void add_document(int64_t begin, int64_t end);

  const TokenFile& tokens_;
  DocumentLayout layout_;
  std::vector<Piece> pieces_;
  std::vector<std::vector<size_t>> rows_;  // of pieces
  int64_t num_documents_ = 0, num_cut_ = 0, num_tokens_ = 0;
};

}  // namespace hici::data
