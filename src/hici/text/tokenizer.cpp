// SPDX-License-Identifier: Apache-2.0
#include "hici/text/tokenizer.h"

#include "hici/base/file.h"
#include "hici/base/json.h"
#include "hici/base/log.h"
#include "hici/base/memory.h"
#include "hici/base/sha256.h"
#include "hici/text/rust_bridge.h"
#include "hici/text/tokenizer_config.h"

#include <algorithm>
#include <utility>

namespace hici::text {

struct Tokenizer::Impl {
  Impl() = default;
  ~Impl() { hici_tokenizer_free(handle); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  HiciTokenizer* handle = nullptr;
  std::filesystem::path path;
  std::string sha256;
  Ids before;
  Ids after;
  TokenizerConfig config;
};

bool has_text_support() { return true; }

Tokenizer Tokenizer::from_file(const std::filesystem::path& tokenizer_json, int num_threads, Links links) {
  return load(tokenizer_json, TokenizerConfig{}, num_threads, links);
}

Tokenizer Tokenizer::load(const std::filesystem::path& tokenizer_json, const TokenizerConfig& config, int num_threads,
                          Links links) {
  HICI_CHECK_USAGE(num_threads >= 0, "`num_threads`: ", num_threads, " is negative; use 0 for all cores");
  const std::string json = read_file(tokenizer_json, kMaxTokenizerBytes, links);
  const auto impl = std::make_shared<Impl>();
  crate::ErrorText error;
  bool is_changed = false;
  const std::string more_tokens =
      nlohmann::json{{"added_tokens", config.added_tokens}, {"named_tokens", config.named_tokens}}.dump();
  impl->handle = hici_tokenizer_new(crate::view(json), crate::view(more_tokens), static_cast<size_t>(num_threads),
                                    &is_changed, error.out());
  HICI_CHECK(impl->handle, tokenizer_json.string(), ": is no tokenizer that can be used: ", error.text(),
             "; expected the tokenizer.json of a Hugging Face model");
  impl->path = tokenizer_json;
  impl->sha256 = sha256_hex(json);
  crate::IdLists special;
  HICI_CHECK(hici_tokenizer_special_ids(impl->handle, special.out(), error.out()), tokenizer_json.string(), ": ",
             error.text());
  impl->before.assign(special[0].begin(), special[0].end());
  impl->after.assign(special[1].begin(), special[1].end());
  impl->config = config;
  Tokenizer tokenizer(impl);
  if (is_changed)
    log_warning(config.subject, ": adds tokens that ", tokenizer_json.filename().string(),
                " lacks, or has them with other flags; they are taken as transformers takes them");
  for (const std::string& note : config.notes) log_warning(note);
  return tokenizer;
}

Tokenizer Tokenizer::from_path(const std::filesystem::path& folder_or_file, int num_threads) {
  release_with_freed_memory(&hici_text_release_memory);
  const std::filesystem::path file = find_tokenizer_json(folder_or_file);
  const bool is_named = !std::filesystem::is_directory(folder_or_file);
  Tokenizer tokenizer =
      load(file, read_tokenizer_config(file.parent_path()), num_threads, is_named ? Links::kAny : Links::kCompanion);
  tokenizer.note_other_special_ids();
  tokenizer.note_other_spaces();
  return tokenizer;
}

// transformers 4 built the special ids of Llama's classes from tokenizer_config.json; 5 takes those of tokenizer.json.
void Tokenizer::note_other_special_ids() const {
  const TokenizerConfig& config = impl_->config;
  if (!config.tokenizer_class.starts_with("LlamaTokenizer")) return;
  const auto note = [&](const char* key, std::optional<bool> is_wanted, const Ids& ids, std::optional<uint32_t> id) {
    const bool is_added = id && std::find(ids.begin(), ids.end(), *id) != ids.end();
    if (is_wanted && *is_wanted != is_added)
      log_warning(config.subject, ": ", key, " ", *is_wanted ? "true" : "false",
                  " is not used, as in transformers 5: tokenizer.json ", is_added ? "adds" : "does not add",
                  " the token; transformers 4 took the key");
  };
  note("add_bos_token", config.adds_bos, impl_->before, bos_id());
  note("add_eos_token", config.adds_eos, impl_->after, eos_id());
}

// transformers 5 builds the spaces of Llama's classes itself: one in front of a text that begins with none, and one
// behind special tokens where `legacy` is true.
void Tokenizer::note_other_spaces() const {
  const TokenizerConfig& config = impl_->config;
  const std::optional<std::string> bos = config.special_token("bos_token");
  if (!bos || !config.tokenizer_class.starts_with("LlamaTokenizer")) return;
  const Ids alone = encode("x", false), behind = encode(*bos + "x", false);
  if (alone.empty() || !id_to_token(alone.front()).value_or("").starts_with("\u2581")) return;
  const bool is_put_before_spaces = encode(" x", false) != alone;
  const bool is_put_behind = Ids(behind.begin() + 1, behind.end()) == alone;
  if (is_put_before_spaces || is_put_behind != config.is_legacy)
    log_info(path().string(), ": spaces are put as this file says and transformers 4 does",
             is_put_before_spaces ? ", before every text" : "", is_put_behind ? " and behind special tokens" : "",
             "; transformers 5 puts ", is_put_before_spaces ? "none before a space, and " : "",
             config.is_legacy ? "one" : "none", " behind special tokens, so ids may differ there");
}

std::vector<Ids> Tokenizer::encode_batch(std::span<const std::string> texts, bool add_special_tokens) const {
  const std::vector<HiciTextView> views = crate::views(texts);
  crate::IdLists encoded;
  crate::ErrorText error;
  HICI_CHECK(hici_tokenizer_encode_batch(impl_->handle, views.data(), views.size(), add_special_tokens, encoded.out(),
                                         error.out()),
             impl_->path.string(), ": cannot encode: ", error.text());
  std::vector<Ids> ids;
  ids.reserve(encoded.size());
  for (size_t i = 0; i < encoded.size(); ++i) ids.emplace_back(encoded[i].begin(), encoded[i].end());
  return ids;
}

Ids Tokenizer::encode(const std::string& text, bool add_special_tokens) const {
  return std::move(encode_batch(std::span(&text, 1), add_special_tokens).front());
}

Encoding Tokenizer::encode_with_offsets(const std::string& text) const {
  crate::IdLists ids;
  crate::Spans offsets;
  crate::ErrorText error;
  HICI_CHECK(
      hici_tokenizer_encode_with_offsets(impl_->handle, crate::view(text), ids.out(), offsets.out(), error.out()),
      impl_->path.string(), ": cannot encode: ", error.text());
  return {Ids(ids[0].begin(), ids[0].end()), offsets.all()};
}

const Ids& Tokenizer::special_ids_before() const { return impl_->before; }
const Ids& Tokenizer::special_ids_after() const { return impl_->after; }

std::string Tokenizer::decode(std::span<const uint32_t> ids, bool skip_special_tokens) const {
  crate::Bytes text;
  crate::ErrorText error;
  HICI_CHECK(hici_tokenizer_decode(impl_->handle, ids.data(), ids.size(), skip_special_tokens, text.out(), error.out()),
             impl_->path.string(), ": cannot decode: ", error.text());
  return text.text();
}

int64_t Tokenizer::vocab_size() const { return int64_t{hici_tokenizer_largest_id(impl_->handle)} + 1; }

std::optional<uint32_t> Tokenizer::token_to_id(std::string_view token) const {
  uint32_t id = 0;
  if (!hici_tokenizer_token_to_id(impl_->handle, crate::view(token), &id)) return std::nullopt;
  return id;
}

std::optional<std::string> Tokenizer::id_to_token(uint32_t id) const {
  crate::Bytes token;
  if (!hici_tokenizer_id_to_token(impl_->handle, id, token.out())) return std::nullopt;
  return token.text();
}

std::optional<uint32_t> Tokenizer::id_of(const std::optional<std::string>& token) const {
  return token ? token_to_id(*token) : std::nullopt;
}

std::optional<uint32_t> Tokenizer::bos_id() const { return id_of(impl_->config.special_token("bos_token")); }

std::optional<uint32_t> Tokenizer::eos_id() const { return id_of(impl_->config.special_token("eos_token")); }

nlohmann::json Tokenizer::to_json() const {
  crate::Bytes json;
  crate::ErrorText error;
  HICI_CHECK(hici_tokenizer_to_json(impl_->handle, json.out(), error.out()), impl_->path.string(),
             ": cannot be written as JSON: ", error.text());
  return parse_json(json.text(), impl_->path.string(), 2 * kMaxTokenizerBytes);
}

std::optional<std::string> Tokenizer::special_token(const std::string& name) const {
  return impl_->config.special_token(name);
}

const std::filesystem::path& Tokenizer::path() const { return impl_->path; }
const std::string& Tokenizer::sha256() const { return impl_->sha256; }

struct StreamingDecoder::Impl {
  Impl(const Tokenizer::Impl& tokenizer, bool skip_special_tokens) : subject(tokenizer.path.string()) {
    crate::ErrorText error;
    handle = hici_decode_stream_new(tokenizer.handle, skip_special_tokens, error.out());
    HICI_CHECK(handle, subject, ": cannot decode: ", error.text());
  }
  ~Impl() { hici_decode_stream_free(handle); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  std::string subject;
  HiciDecodeStream* handle = nullptr;
};

StreamingDecoder::StreamingDecoder(const Tokenizer& tokenizer, bool skip_special_tokens)
    : impl_(std::make_shared<Impl>(*tokenizer.impl_, skip_special_tokens)) {}

std::string StreamingDecoder::push(uint32_t id) {
  crate::Bytes text;
  crate::ErrorText error;
  HICI_CHECK(hici_decode_stream_push(impl_->handle, id, text.out(), error.out()), impl_->subject, ": cannot decode id ",
             id, ": ", error.text());
  return text.text();
}

std::string StreamingDecoder::finish() {
  crate::Bytes text;
  crate::ErrorText error;
  HICI_CHECK(hici_decode_stream_finish(impl_->handle, text.out(), error.out()), impl_->subject,
             ": cannot decode: ", error.text());
  return text.text();
}

LongTextEncoder::LongTextEncoder(Tokenizer tokenizer, size_t window_bytes)
    : tokenizer_(std::move(tokenizer)), window_bytes_(window_bytes), wanted_bytes_(window_bytes) {}

void LongTextEncoder::append(std::string_view text, Ids& ids) {
  collected_ += text;
  if (collected_.size() >= wanted_bytes_) encode_window(false, ids);
}

void LongTextEncoder::finish(Ids& ids) {
  encode_window(true, ids);
  collected_.clear();
  start_ = 0;
}

void LongTextEncoder::encode_window(bool is_last, Ids& ids) {
  const Tokenizer::Impl& impl = *tokenizer_.impl_;
  crate::IdLists encoded;
  crate::ErrorText error;
  size_t keep_from = 0;
  size_t next_start = 0;
  HICI_CHECK(hici_tokenizer_encode_part(impl.handle, crate::view(collected_), start_, is_last, encoded.out(),
                                        &keep_from, &next_start, error.out()),
             impl.path.string(), ": cannot encode: ", error.text());
  ids.insert(ids.end(), encoded[0].begin(), encoded[0].end());
  const bool stuck = !is_last && keep_from == 0 && next_start == start_;
  collected_.erase(0, keep_from);
  start_ = next_start;
  wanted_bytes_ = stuck ? 2 * collected_.size() : window_bytes_;
  HICI_CHECK(wanted_bytes_ <= kMaxWindowBytes, impl.path.string(), ": ", collected_.size(),
             " bytes of text without a place to cut; is this text? Split it into documents or lines");
}

}  // namespace hici::text
