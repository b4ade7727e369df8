// SPDX-License-Identifier: Apache-2.0
// RAII and exceptions over the C header of the Rust crate. Included by the .cpp files of text/ only.
#pragma once

#include "hici/base/error.h"
#include "hici/text/text_span.h"

#include "hici_text.h"

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hici::text::crate {

inline HiciTextView view(std::string_view text) { return {text.data(), text.size()}; }

// Receives the error text of one call: HICI_CHECK(hici_..., error.out()), subject, error.text()).
class ErrorText {
 public:
  ErrorText() = default;
  ~ErrorText() { hici_text_free_string(text_); }
  ErrorText(const ErrorText&) = delete;
  ErrorText& operator=(const ErrorText&) = delete;
  char** out() { return &text_; }
  std::string text() const { return text_ ? text_ : "unknown error"; }

 private:
  char* text_ = nullptr;
};

class Bytes {
 public:
  Bytes() = default;
  ~Bytes() { hici_text_free_bytes(&bytes_); }
  Bytes(const Bytes&) = delete;
  Bytes& operator=(const Bytes&) = delete;
  HiciTextBytes* out() { return &bytes_; }
  std::string text() const { return {bytes_.data ? bytes_.data : "", bytes_.size}; }

 private:
  HiciTextBytes bytes_{};
};

class Spans {
 public:
  Spans() = default;
  ~Spans() { hici_text_free_spans(&spans_); }
  Spans(const Spans&) = delete;
  Spans& operator=(const Spans&) = delete;
  HiciTextSpans* out() { return &spans_; }
  std::vector<TextSpan> all() const {
    std::vector<TextSpan> all;
    for (size_t i = 0; i + 1 < spans_.num_bounds; i += 2) all.push_back({spans_.bounds[i], spans_.bounds[i + 1]});
    return all;
  }

 private:
  HiciTextSpans spans_{};
};

class IdLists {
 public:
  IdLists() = default;
  ~IdLists() { hici_text_free_ids(&ids_); }
  IdLists(const IdLists&) = delete;
  IdLists& operator=(const IdLists&) = delete;
  HiciTextIds* out() { return &ids_; }
  size_t size() const { return ids_.num_texts; }
  std::span<const uint32_t> operator[](size_t i) const {
    const size_t begin = i == 0 ? 0 : ids_.ends[i - 1];
    return {ids_.ids + begin, ids_.ends[i] - begin};
  }

 private:
  HiciTextIds ids_{};
};

inline std::vector<HiciTextView> views(std::span<const std::string> texts) {
  std::vector<HiciTextView> all;
  all.reserve(texts.size());
  for (const std::string& text : texts) all.push_back(view(text));
  return all;
}

}  // namespace hici::text::crate
