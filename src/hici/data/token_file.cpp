// SPDX-License-Identifier: Apache-2.0
#include "hici/data/token_file.h"

#include "hici/base/error.h"
#include "hici/base/hub_id.h"
#include "hici/data/byte_stream.h"
#include "hici/data/token_look.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <utility>

namespace hici::data {
namespace {

static_assert(std::endian::native == std::endian::little, "token files are little-endian and are copied as they are");

constexpr int64_t kScanTokens = int64_t{1} << 20;   // tokens held at once while the whole file is looked at
constexpr int64_t kProbeTokens = int64_t{1} << 16;  // tokens looked at to guess what a file really is

// Tokens [begin, begin + count) as they stand in the file.
template <typename Id>
std::vector<Id> raw_tokens(const MappedFile& file, int64_t begin, int64_t count) {
  std::vector<Id> ids(static_cast<size_t>(count));
  file.copy(static_cast<uint64_t>(begin) * sizeof(Id), ids.data(), ids.size() * sizeof(Id));
  return ids;
}

template <typename Id>
int64_t widen(const MappedFile& file, int64_t begin, std::span<int64_t> out) {
  const std::vector<Id> ids = raw_tokens<Id>(file, begin, static_cast<int64_t>(out.size()));
  int64_t largest = -1;
  for (size_t i = 0; i < ids.size(); ++i) {
    out[i] = ids[i];
    largest = std::max(largest, out[i]);
  }
  return largest;
}

int64_t widen(const MappedFile& file, TokenType type, int64_t begin, std::span<int64_t> out) {
  return type == TokenType::kUint16 ? widen<uint16_t>(file, begin, out) : widen<uint32_t>(file, begin, out);
}

TokenType choose_type(const std::string& subject, const TokenFileOptions& options,
                      const std::optional<TokenFileInfo>& info) {
  if (options.type) return options.type->type;
  if (info) return info->type;
  HICI_CHECK(options.vocab_size > 0, subject, ": has no ", subject,
             ".json that states its type, and no vocabulary is known; give `token_type` uint16 or uint32");
  return token_type_for_vocabulary(options.vocab_size);
}

// A process that is killed between the two renames leaves no file without its sidecar.
void publish_with_sidecar(AtomicFile& file, const std::filesystem::path& path, const TokenFileInfo& info) {
  write_file_atomically(sidecar_path(path), sidecar_to_json(info));
  try {
    file.commit();
  } catch (...) {
    std::error_code ignored;
    std::filesystem::remove(sidecar_path(path), ignored);
    throw;
  }
}

// The sidecar of the earlier file never stands beside the new one, whatever happens between the two renames.
void replace_with_sidecar(AtomicFile& file, const std::filesystem::path& path, const TokenFileInfo& info) {
  std::error_code removal;
  std::filesystem::remove(sidecar_path(path), removal);
  HICI_CHECK(!removal, sidecar_path(path).string(),
             ": cannot remove the description of the earlier file: ", removal.message());
  file.commit();
  write_file_atomically(sidecar_path(path), sidecar_to_json(info));
}

}  // namespace

namespace {

constexpr const char* kForce = "; if these are token ids all the same, say `token_type` forced_uint16 or forced_uint32";

// Two letters of a text are an id of most vocabularies.
void check_holds_tokens(const MappedFile& file, const TokenFileOptions& options,
                        const std::optional<TokenFileInfo>& info) {
  if (info || (options.type && options.type->is_forced)) return;
  const std::optional<FileLook> look = look_of_no_tokens(file, options.vocab_size);
  HICI_CHECK(!look, file.path().string(), ": ", look->what, " by its bytes, expected token ids; ", look->way_out,
             kForce);
  const std::string ending = format_ending(file.path());
  const bool is_named_as_text = ending == ".txt" || ending == ".jsonl" || ending == ".json" || ending == ".md";
  HICI_CHECK(!is_named_as_text || options.type, file.path().string(), ": is text by its name, expected token ids; ",
             "make them with 'hici tokenize', or say `token_type` uint16 or uint32 if these are token ids");
}

}  // namespace

TokenFile TokenFile::open(const std::filesystem::path& path, const TokenFileOptions& options) {
  const std::string hint = hub_hint(path, HubKind::kDataSet);
  HICI_CHECK(hint.empty(), path.string(), ": no such file", hint);
  MappedFile file(path);
  std::optional<TokenFileInfo> info = read_sidecar(path);
  check_holds_tokens(file, options, info);
  const TokenType type = choose_type(path.string(), options, info);
  const size_t width = bytes_per_token(type);
  HICI_CHECK(file.size() > 0, path.string(), ": is empty; write it again with 'hici tokenize'");
  HICI_CHECK(file.size() % width == 0, path.string(), ": ", file.size(), " bytes is no whole number of ", name_of(type),
             " tokens; it was cut short, or it is no token file ('hici tokenize' makes one from text)");
  TokenFile tokens(std::move(file), std::move(info), type, options.vocab_size);
  tokens.check_sidecar();
  tokens.check_not_wider(options.type && options.type->is_forced);
  if (options.vocab_size > 0) tokens.check_ids();
  return tokens;
}

TokenFile::TokenFile(MappedFile file, std::optional<TokenFileInfo> info, TokenType type, int64_t vocab_size)
    : file_(std::move(file)),
      info_(std::move(info)),
      type_(type),
      vocab_size_(vocab_size),
      num_tokens_(static_cast<int64_t>(file_.size() / bytes_per_token(type))) {}

void TokenFile::check_sidecar() const {
  if (!info_) return;
  const std::string sidecar = sidecar_path(path()).string();
  HICI_CHECK(info_->type == type_, path().string(), ": ", sidecar, " says ", name_of(info_->type),
             ", `token_type` says ", name_of(type_), "; leave out `token_type`");
  HICI_CHECK(info_->num_tokens == num_tokens_, path().string(), ": holds ", num_tokens_, " tokens, ", sidecar, " says ",
             info_->num_tokens, "; one of the two was replaced or cut: write both again with 'hici tokenize'");
}

// A uint32 file of small ids, read as uint16, has a zero in every second place.
void TokenFile::check_not_wider(bool is_forced) const {
  if (info_ || is_forced || type_ != TokenType::kUint16 || num_tokens_ % 2 != 0) return;
  HICI_CHECK(!looks_wider_than_uint16(file_), path().string(),
             ": every second uint16 token is 0 or nearly so; this looks like a uint32 file: give `token_type` uint32",
             kForce);
}

void TokenFile::check_ids() const {
  std::vector<int64_t> piece(static_cast<size_t>(std::min(num_tokens_, kScanTokens)));
  for (int64_t begin = 0; begin < num_tokens_; begin += kScanTokens) {
    read_into(begin, std::span(piece).first(static_cast<size_t>(std::min(kScanTokens, num_tokens_ - begin))));
  }
}

int64_t TokenFile::largest_id() const {
  std::vector<int64_t> piece(static_cast<size_t>(std::min(num_tokens_, kScanTokens)));
  int64_t largest = -1;
  for (int64_t begin = 0; begin < num_tokens_; begin += kScanTokens) {
    const auto count = static_cast<size_t>(std::min(kScanTokens, num_tokens_ - begin));
    largest = std::max(largest, widen(file_, type_, begin, std::span(piece).first(count)));
  }
  return largest;
}

// Why an id may lie beyond the vocabulary, judged from the tokens around `position`.
std::string TokenFile::likely_cause(int64_t position) const {
  if (type_ == TokenType::kUint16) return "it was made with another tokenizer, or it is no token file";
  const int64_t begin = std::max<int64_t>(0, std::min(position, num_tokens_ - kProbeTokens));
  const int64_t count = std::min(kProbeTokens, num_tokens_ - begin);
  const std::vector<uint16_t> halves = raw_tokens<uint16_t>(file_, 2 * begin, 2 * count);
  const bool all_fit = std::all_of(halves.begin(), halves.end(), [&](uint16_t id) { return id < vocab_size_; });
  if (!all_fit || info_ || !looks_like_uint16(file_))
    return "it was made with another tokenizer, or it is no token file";
  return "this looks like a uint16 file read as uint32: give `token_type` uint16";
}

void TokenFile::read_into(int64_t begin, std::span<int64_t> out) const {
  const auto count = static_cast<int64_t>(out.size());
  HICI_ASSERT(begin >= 0 && count <= num_tokens_ && begin <= num_tokens_ - count, path().string(), ": tokens ", begin,
              " + ", count, " of ", num_tokens_);
  const int64_t largest = widen(file_, type_, begin, out);
  if (vocab_size_ == 0 || largest < vocab_size_) return;
  const auto at = std::find_if(out.begin(), out.end(), [&](int64_t id) { return id >= vocab_size_; });
  const int64_t position = begin + (at - out.begin());
  fail(path().string(), ": token ", position, " is ", *at, ", beyond the vocabulary of ", vocab_size_, "; ",
       likely_cause(position));
}

std::vector<int64_t> TokenFile::read(int64_t begin, int64_t count) const {
  HICI_ASSERT(count >= 0, path().string(), ": ", count, " tokens wanted");
  std::vector<int64_t> tokens(static_cast<size_t>(count));
  read_into(begin, tokens);
  return tokens;
}

void TokenFile::belongs_to(std::filesystem::path source, std::shared_ptr<const void> folder) {
  shown_ = std::move(source);
  folder_ = std::move(folder);
}

const std::string& TokenFile::sha256() const {
  if (!sha256_.empty()) return sha256_;
  const std::string found = sha256_hex_of_file(file_.path());
  file_.check_unchanged();
  HICI_CHECK(!info_ || info_->sha256 == found, path().string(), ": its content is not what ",
             sidecar_path(path()).string(), " describes (the SHA-256 differ); write both again with 'hici tokenize'");
  return sha256_ = found;
}

TokenFileWriter::TokenFileWriter(std::filesystem::path path, TokenType type)
    : path_(std::move(path)), type_(type), file_(path_) {}

void TokenFileWriter::write(std::span<const uint32_t> ids) {
  const void* bytes = ids.data();
  if (type_ == TokenType::kUint16) {
    narrow_.resize(ids.size());
    for (size_t i = 0; i < ids.size(); ++i) {
      HICI_CHECK(ids[i] <= std::numeric_limits<uint16_t>::max(), path_.string(), ": token id ", ids[i],
                 " does not fit uint16; write uint32");
      narrow_[i] = static_cast<uint16_t>(ids[i]);
    }
    bytes = narrow_.data();
  }
  const size_t num_bytes = ids.size() * bytes_per_token(type_);
  file_.write(bytes, num_bytes);
  hash_.update(bytes, num_bytes);
  num_tokens_ += static_cast<int64_t>(ids.size());
}

TokenFileInfo TokenFileWriter::commit(TokenFileInfo info) {
  info.type = type_;
  info.num_tokens = num_tokens_;
  info.sha256 = hash_.hex_digest();
  std::filesystem::exists(path_) ? replace_with_sidecar(file_, path_, info) : publish_with_sidecar(file_, path_, info);
  return info;
}

}  // namespace hici::data
