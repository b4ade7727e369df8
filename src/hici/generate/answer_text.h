// SPDX-License-Identifier: Apache-2.0
// The text of an answer, streamed id by id.
#pragma once

#include "hici/generate/stop_strings.h"
#include "hici/text/tokenizer.h"

namespace hici::generate {

class AnswerText {
 public:
  AnswerText(const text::Tokenizer& tokenizer, const std::vector<std::string>& stops, bool skip_special_tokens)
      : decoder_(tokenizer, skip_special_tokens), stops_(stops) {}

  // The new text that is final: whole characters that cannot be part of a stop string.
  std::string push(int64_t id) { return add(stops_.push(decoder_.push(static_cast<uint32_t>(id)))); }
  // At the end of the ids: the remaining text.
  std::string finish() {
    std::string rest = stops_.push(decoder_.finish());
    return add(rest + stops_.finish());
  }
  bool found_stop() const { return stops_.found(); }
  const std::string& text() const { return text_; }  // all text returned so far

 private:
  std::string add(std::string piece) {
    text_ += piece;
    return piece;
  }

  text::StreamingDecoder decoder_;
  StopStrings stops_;
  std::string text_;
};

}  // namespace hici::generate
