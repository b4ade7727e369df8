// SPDX-License-Identifier: Apache-2.0
#include "hici/data/corpus_tokenizer.h"

#include "hici/base/error.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace hici::data {
namespace {

// Longer documents are cut in pieces, so that one of them keeps all threads busy and needs no memory of its length.
constexpr size_t kLongDocumentBytes = size_t{1} << 20;
constexpr size_t kBytesPerThread = size_t{1} << 20;
constexpr size_t kMinBatchBytes = size_t{4} << 20;

size_t batch_bytes() {
  return std::max(kMinBatchBytes, kBytesPerThread * std::max(1u, std::thread::hardware_concurrency()));
}

void put(const std::optional<uint32_t>& id, const char* what, const text::Tokenizer& tokenizer, text::Ids& ids) {
  HICI_CHECK(id, "`add_", what, "`: ", tokenizer.path().string(), " comes with no tokenizer_config.json that names a ",
             what, "_token; leave the option out");
  if (std::find(ids.begin(), ids.end(), *id) == ids.end()) ids.push_back(*id);
}

}  // namespace

DocumentFrame make_document_frame(const text::Tokenizer& tokenizer, const FrameOptions& options) {
  DocumentFrame frame;
  if (options.add_special_tokens) frame = {tokenizer.special_ids_before(), tokenizer.special_ids_after(), {}};
  frame.unless_text_begins = options.unless_text_begins;
  if (options.add_bos) put(tokenizer.bos_id(), "bos", tokenizer, frame.before);
  if (options.add_eos) put(tokenizer.eos_id(), "eos", tokenizer, frame.after);
  return frame;
}

CorpusTokenizer::CorpusTokenizer(text::Tokenizer tokenizer, DocumentFrame frame, Sink sink, OnDocument on_document)
    : tokenizer_(std::move(tokenizer)),
      frame_(std::move(frame)),
      sink_(std::move(sink)),
      on_document_(std::move(on_document)),
      long_encoder_(tokenizer_, batch_bytes()) {}

void CorpusTokenizer::add(TextPiece piece) {
  counts_.num_bytes += static_cast<int64_t>(piece.text.size());
  if (in_long_document_ || !piece.ends_document || piece.text.size() > kLongDocumentBytes) return add_long(piece);
  short_bytes_ += piece.text.size();
  short_documents_.push_back(std::move(piece.text));
  if (short_bytes_ >= batch_bytes()) begin_short();
}

void CorpusTokenizer::add_ids(std::span<const uint32_t> ids) {
  flush_short();
  emit(ids);
  end_document();
}

double CorpusTokenizer::share_encoded() const {
  const double waiting = static_cast<double>(short_bytes_ + bytes_at_work_ + long_encoder_.waiting_bytes());
  return counts_.num_bytes > 0 ? 1 - waiting / static_cast<double>(counts_.num_bytes) : 0;
}

void CorpusTokenizer::add_long(const TextPiece& piece) {
  if (!std::exchange(in_long_document_, true)) {
    flush_short();
    long_has_frame_ = has_frame(piece.text);
    if (long_has_frame_) emit(frame_.before);
  }
  text::Ids ids;
  long_encoder_.append(piece.text, ids);
  if (piece.ends_document) long_encoder_.finish(ids);
  emit(ids);
  if (!piece.ends_document) return;
  if (long_has_frame_) emit(frame_.after);
  in_long_document_ = false;
  end_document();
}

void CorpusTokenizer::flush_short() {
  begin_short();
  finish_short();
}

void CorpusTokenizer::begin_short() {
  finish_short();
  if (short_documents_.empty()) return;
  documents_at_work_.swap(short_documents_);
  bytes_at_work_ = std::exchange(short_bytes_, 0);
  at_work_ = std::async(std::launch::async, [this] { return tokenizer_.encode_batch(documents_at_work_, false); });
}

void CorpusTokenizer::finish_short() {
  if (!at_work_.valid()) return;
  const std::vector<text::Ids> encoded = at_work_.get();
  for (size_t i = 0; i < encoded.size(); ++i) {
    const bool is_framed = has_frame(documents_at_work_[i]);
    if (is_framed) emit(frame_.before);
    emit(encoded[i]);
    if (is_framed) emit(frame_.after);
    end_document();
  }
  documents_at_work_.clear();
  bytes_at_work_ = 0;
}

void CorpusTokenizer::emit(std::span<const uint32_t> ids) {
  if (ids.empty()) return;
  counts_.num_tokens += static_cast<int64_t>(ids.size());
  sink_(ids);
}

bool CorpusTokenizer::has_frame(std::string_view text) const {
  return !frame_.unless_text_begins || !text.starts_with(*frame_.unless_text_begins);
}

void CorpusTokenizer::end_document() {
  ++counts_.num_documents;
  if (on_document_) on_document_(counts_.num_tokens);
}

CorpusCounts CorpusTokenizer::finish() {
  HICI_ASSERT(!in_long_document_, "the last document has no end");
  flush_short();
  return counts_;
}

}  // namespace hici::data
