// SPDX-License-Identifier: Apache-2.0
// Documents to token ids, in order and in bounded memory: short documents are collected and encoded on all threads at
// once, while the caller reads the next ones; long ones go through LongTextEncoder.
#pragma once

#include "hici/data/text_source.h"
#include "hici/text/tokenizer.h"

#include <cstdint>
#include <functional>
#include <future>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hici::data {

struct DocumentFrame {
  text::Ids before;                               // ids in front of every document
  text::Ids after;                                // and behind it
  std::optional<std::string> unless_text_begins;  // a document that begins with this text has neither
};

struct FrameOptions {
  bool add_special_tokens = true;  // what the tokenizer puts around a text, as Python's encode() does
  bool add_bos = false;            // the BOS token too, unless it is there already
  bool add_eos = false;            // likewise EOS, behind
  std::optional<std::string> unless_text_begins = {};  // DocumentFrame's
};

// Throws when BOS or EOS is wanted and tokenizer_config.json names none.
DocumentFrame make_document_frame(const text::Tokenizer& tokenizer, const FrameOptions& options);

struct CorpusCounts {
  int64_t num_documents = 0;
  int64_t num_tokens = 0;  // frames included
  int64_t num_bytes = 0;   // of text
};

class CorpusTokenizer {
 public:
  using Sink = std::function<void(std::span<const uint32_t>)>;
  using OnDocument = std::function<void(int64_t end)>;
  // `sink` receives the ids in order; in the thread that calls add() and finish(). So is `on_document` called behind
  // each document, with the number of ids so far. An error in a document may come with a later call.
  CorpusTokenizer(text::Tokenizer tokenizer, DocumentFrame frame, Sink sink, OnDocument on_document = {});
  CorpusTokenizer(const CorpusTokenizer&) = delete;  // another thread works on its documents
  CorpusTokenizer& operator=(const CorpusTokenizer&) = delete;

  void add(TextPiece piece);
  // A document that is tokens already, without the frame.
  void add_ids(std::span<const uint32_t> ids);
  // Of the text added so far, the part whose ids the sink has (0 to 1).
  double share_encoded() const;
  // Must be called at the end; the last document must have ended.
  CorpusCounts finish();

 private:
  void add_long(const TextPiece& piece);
  void flush_short();
  void begin_short();
  void finish_short();
  void emit(std::span<const uint32_t> ids);
  bool has_frame(std::string_view text) const;
  void end_document();

  text::Tokenizer tokenizer_;
  DocumentFrame frame_;
  Sink sink_;
  OnDocument on_document_;
  std::vector<std::string> short_documents_;  // not yet being encoded
  size_t short_bytes_ = 0;
  std::vector<std::string> documents_at_work_;
  size_t bytes_at_work_ = 0;
  text::LongTextEncoder long_encoder_;
  bool in_long_document_ = false;
  bool long_has_frame_ = true;
  CorpusCounts counts_;
  std::future<std::vector<text::Ids>> at_work_;  // last: its end is waited for before the rest goes
};

}  // namespace hici::data
