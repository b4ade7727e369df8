// SPDX-License-Identifier: Apache-2.0
#include "hici/data/document_rows.h"

#include "hici/base/error.h"
#include "hici/data/packed_rows.h"

#include <algorithm>

namespace hici::data {
namespace {

constexpr int64_t kTokensAtOnce = int64_t{1} << 20;

}  // namespace

DocumentRows::DocumentRows(const TokenFile& tokens, const DocumentMarks& marks, const DocumentLayout& layout,
                           const std::string& subject)
    : tokens_(tokens), layout_(layout) {
  find_pieces(marks);
  HICI_CHECK(num_documents_ > 1 || tokens.size() <= layout.row_length, tokens.path().string(),
             ": has no BOS and no EOS of the model between its documents, and ", subject,
             " document must know where they end; run hici tokenize with `add_bos` or `add_eos`, or leave it out");
  HICI_CHECK(!pieces_.empty(), tokens.path().string(), ": has no document of two tokens");
  std::vector<int64_t> padded;
  for (const Piece& piece : pieces_) padded.push_back(padded_to_segments(piece.length, layout.segment_length));
  rows_ = pack_rows(padded, layout.row_length);
}

void DocumentRows::find_pieces(const DocumentMarks& marks) {
  std::vector<int64_t> ids;
  int64_t begin = 0;
  for (int64_t at = 0; at < tokens_.size(); at += kTokensAtOnce) {
    ids.resize(static_cast<size_t>(std::min(kTokensAtOnce, tokens_.size() - at)));
    tokens_.read_into(at, ids);
    for (size_t i = 0; i < ids.size(); ++i) {
      const int64_t place = at + static_cast<int64_t>(i);
      if (marks.starts.contains(ids[i]) && place > begin) {
        add_document(begin, place);
        begin = place;
      }
      if (!marks.ends.contains(ids[i])) continue;
      add_document(begin, place + 1);
      begin = place + 1;
    }
  }
  if (begin < tokens_.size()) add_document(begin, tokens_.size());
}

void DocumentRows::add_document(int64_t begin, int64_t end) {
  ++num_documents_;
  num_cut_ += end - begin > layout_.row_length ? 1 : 0;
  for (; begin < end; begin += layout_.row_length) {
    const int64_t length = std::min(layout_.row_length, end - begin);
    if (length < 2) continue;
    pieces_.push_back({begin, length});
    num_tokens_ += length;
  }
}

TokenBatch DocumentRows::batch(const std::vector<int64_t>& samples) const {
  std::vector<std::vector<RowSequence>> rows;
  for (const int64_t sample : samples) {
    std::vector<RowSequence>& row = rows.emplace_back();
    for (const size_t piece : rows_[static_cast<size_t>(sample)])
      row.push_back({pieces_[piece].length, padded_to_segments(pieces_[piece].length, layout_.segment_length)});
  }
  const auto fill = [&](size_t row, size_t i, int64_t* tokens, int64_t* labels) {
    const Piece& piece = pieces_[rows_[static_cast<size_t>(samples[row])][i]];
    tokens_.read_into(piece.begin, {tokens, static_cast<size_t>(piece.length)});
    std::copy(tokens + 1, tokens + piece.length, labels);
    return piece.length - 1;
  };
  return lay_out_rows(samples, rows, /*by_itself=*/true, fill);
}

}  // namespace hici::data
