// SPDX-License-Identifier: Apache-2.0
// Token files: headerless little-endian uint16 or uint32 ids, as the research code and many others write them.
// The reader checks everything that can be checked before the first use; the writer publishes a whole file or none.
#pragma once

#include "hici/base/file.h"
#include "hici/base/sha256.h"
#include "hici/data/token_sidecar.h"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace hici::data {

struct TokenFileOptions {
  int64_t vocab_size = 0;  // of the model: every id must be below it; 0: not known, ids are not checked
  std::optional<TokenTypeChoice> type = {};  // as the user said; else the sidecar's, else what fits vocab_size
};

// A token file open for reading. reads may run in several threads at once; sha256() may not.
class TokenFile {
 public:
  // Checks size, sidecar and (one pass over the file) the largest id. Without a sidecar the bytes must not look like
  // something else (token_look.h), also where the user named the type, unless it is forced. Errors are one line that
  // names the likely cause, such as a uint16 file read as uint32.
  static TokenFile open(const std::filesystem::path& path, const TokenFileOptions& options);

  // As the user named it, in messages too.
  const std::filesystem::path& path() const { return shown_.empty() ? file_.path() : shown_; }
  int64_t size() const { return num_tokens_; }  // tokens
  TokenType type() const { return type_; }
  const std::optional<TokenFileInfo>& info() const { return info_; }  // the sidecar, when there is one

  // Tokens [begin, begin + out.size()). The range must lie inside the file. A file that was cut short since open(), or
  // whose ids now exceed the vocabulary, is an hici::Error.
  void read_into(int64_t begin, std::span<int64_t> out) const;
  std::vector<int64_t> read(int64_t begin, int64_t count) const;

  // The largest id in the whole file, -1 when it is empty.
  int64_t largest_id() const;

  // The file was made of `source`, which messages name, and lives as long as `folder`.
  void belongs_to(std::filesystem::path source, std::shared_ptr<const void> folder);

  // SHA-256 of the content, computed at the first call and kept. An error when the sidecar states another one.
  const std::string& sha256() const;

 private:
  TokenFile(MappedFile file, std::optional<TokenFileInfo> info, TokenType type, int64_t vocab_size);
  void check_sidecar() const;
  void check_not_wider(bool is_forced) const;
  void check_ids() const;
  std::string likely_cause(int64_t position) const;

  std::shared_ptr<const void> folder_;  // outlives the file
  std::filesystem::path shown_;
  MappedFile file_;
  std::optional<TokenFileInfo> info_;
  TokenType type_;
  int64_t vocab_size_;
  int64_t num_tokens_;
  mutable std::string sha256_;
};

// Writes a token file in pieces. The file and its sidecar appear under their names in commit(), or never.
class TokenFileWriter {
 public:
  TokenFileWriter(std::filesystem::path path, TokenType type);

  // Appends; an id that the type cannot hold is an error.
  void write(std::span<const uint32_t> ids);
  int64_t num_tokens() const { return num_tokens_; }

  // Fills in type, num_tokens and sha256 of `info`, publishes the token file and then the sidecar; returns what it
  // wrote.
  TokenFileInfo commit(TokenFileInfo info);

 private:
  std::filesystem::path path_;
  TokenType type_;
  AtomicFile file_;
  Sha256 hash_;
  std::vector<uint16_t> narrow_;
  int64_t num_tokens_ = 0;
};

}  // namespace hici::data
