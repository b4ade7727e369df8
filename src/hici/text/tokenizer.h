// SPDX-License-Identifier: Apache-2.0
// Hugging Face tokenizers (tokenizer.json) over the Rust crate hici_text: the ids are those of the Python package
// `tokenizers`. In a binary built with HICI_TEXT=OFF everything is declared, and loading throws an error that says so.
#pragma once

#include "hici/base/links.h"
#include "hici/text/text_span.h"
#include "hici/text/tokenizer_files.h"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hici::text {

struct TokenizerConfig;

using Ids = std::vector<uint32_t>;

struct Encoding {
  Ids ids;
  std::vector<TextSpan> offsets;  // the bytes of each id
};

// Immutable and cheap to copy; may be used by several threads at once. Texts must be UTF-8 (else hici::Error).
class Tokenizer {
 public:
  // `num_threads` 0: as many as there are cores. The threads start at the first encoding. `links`: kCompanion where the
  // user named the folder alone.
  static Tokenizer from_file(const std::filesystem::path& tokenizer_json, int num_threads = 0,
                             Links links = Links::kAny);
  // A folder with tokenizer.json, or tokenizer.json itself; with what the files beside it say (tokenizer_config.h).
  static Tokenizer from_path(const std::filesystem::path& folder_or_file, int num_threads = 0);

  // Encodes each text separately, on all threads.
  std::vector<Ids> encode_batch(std::span<const std::string> texts, bool add_special_tokens) const;
  Ids encode(const std::string& text, bool add_special_tokens) const;
  // Without special tokens, on one thread and in one piece.
  Encoding encode_with_offsets(const std::string& text) const;
  // The ids that add_special_tokens adds before and after a text.
  const Ids& special_ids_before() const;
  const Ids& special_ids_after() const;

  // Invalid UTF-8 becomes U+FFFD.
  std::string decode(std::span<const uint32_t> ids, bool skip_special_tokens) const;

  // One more than the largest id, including added tokens: the minimum number of rows of a model's embedding.
  int64_t vocab_size() const;
  std::optional<uint32_t> token_to_id(std::string_view token) const;
  std::optional<std::string> id_to_token(uint32_t id) const;
  // As tokenizer_config.json names them.
  std::optional<uint32_t> bos_id() const;
  std::optional<uint32_t> eos_id() const;

  // A tokenizer.json that makes the same ids, as the library `tokenizers` writes it: with the tokens that files beside
  // it add, without a post-processor.
  nlohmann::json to_json() const;
  // Text of "bos_token" and the like, as the files beside it say.
  std::optional<std::string> special_token(const std::string& name) const;

  const std::filesystem::path& path() const;  // of tokenizer.json
  const std::string& sha256() const;          // of its content

 private:
  friend class StreamingDecoder;
  friend class LongTextEncoder;
  struct Impl;
  explicit Tokenizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  static Tokenizer load(const std::filesystem::path& tokenizer_json, const TokenizerConfig& config, int num_threads,
                        Links links);
  void note_other_special_ids() const;
  void note_other_spaces() const;
  std::optional<uint32_t> id_of(const std::optional<std::string>& token) const;
  std::shared_ptr<const Impl> impl_;
};

// Decodes ids one by one. Its output never ends inside a character. For one thread at a time.
class StreamingDecoder {
 public:
  StreamingDecoder(const Tokenizer& tokenizer, bool skip_special_tokens);
  // The new complete characters after `id`; may be empty.
  std::string push(uint32_t id);
  // The remaining text; an incomplete character becomes U+FFFD. Resets the decoder.
  std::string finish();

 private:
  struct Impl;
  std::shared_ptr<Impl> impl_;
};

// Encodes one text of any length in bounded memory. The ids equal those of the whole text without special tokens. Text
// is collected up to a window and encoded on all threads. The window grows only if the text has no place to cut (one
// "word" of megabytes).
class LongTextEncoder {
 public:
  static constexpr size_t kDefaultWindowBytes = size_t{4} << 20;
  static constexpr size_t kMaxWindowBytes = size_t{1} << 30;

  explicit LongTextEncoder(Tokenizer tokenizer, size_t window_bytes = kDefaultWindowBytes);
  // Adds text, which must end at a character boundary. Appends the ids that are final to `ids`.
  void append(std::string_view text, Ids& ids);
  // Ends the text: appends its remaining ids. Resets the encoder.
  void finish(Ids& ids);
  // Bytes of text without ids so far.
  size_t waiting_bytes() const { return collected_.size() - start_; }

 private:
  void encode_window(bool is_last, Ids& ids);

  Tokenizer tokenizer_;
  size_t window_bytes_;
  size_t wanted_bytes_;    // size at which collected text is encoded
  std::string collected_;  // encoded text as context, then text to encode
  size_t start_ = 0;       // start of the text to encode
};

// True when this binary can tokenize.
bool has_text_support();

}  // namespace hici::text
