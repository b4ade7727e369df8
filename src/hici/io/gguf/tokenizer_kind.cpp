// SPDX-License-Identifier: Apache-2.0
#include "hici/io/gguf/tokenizer_kind.h"

#include "hici/base/error.h"
#include "hici/base/json.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace hici::io::gguf {
namespace {

using nlohmann::json;

constexpr std::string_view kSpace = "\u2581";  // SentencePiece's

// Split rules of tokenizer.json that llama.cpp has. `ignore_merges`: whether a word that is a token is taken at once;
// the rule's name decides that in llama.cpp.
struct SplitRule {
  const char* pattern;
  bool ignore_merges;
  const char* pre;
};
constexpr const char* kLlama3Split =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr const char* kQwen2Split =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::array kSplitRules{SplitRule{kLlama3Split, true, "llama-bpe"},
                                 SplitRule{kLlama3Split, false, "smaug-bpe"}, SplitRule{kQwen2Split, false, "qwen2"}};

std::string shown(const json& part) { return printable(part.dump()); }

// The parts of a sequence; one part that stands alone; none for null.
std::vector<json> parts_of(const json& value, const char* list) {
  if (value.is_null()) return {};
  if (value.value("type", "") != "Sequence") return {value};
  return value.at(list).get<std::vector<json>>();
}

class KindReader {
 public:
  KindReader(const json& tokenizer, const std::string& subject)
      : tokenizer_(tokenizer),
        subject_(subject),
        model_(tokenizer.at("model")),
        normalizers_(parts_of(tokenizer.at("normalizer"), "normalizers")),
        splits_(parts_of(tokenizer.at("pre_tokenizer"), "pretokenizers")) {}

  TokenizerKind read() {
    check_model();
    const bool has_bytes = model_.at("byte_fallback").get<bool>();
    check_decoder(has_bytes);
    return has_bytes ? sentence_piece() : byte_level();
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    fail(subject_, ": ", what, ", which llama.cpp does not have", kWayOut);
  }

  void check_model() const {
    if (model_.value("type", "") != "BPE") refuse("its model is " + shown_json(model_.value("type", json())));
    for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"})
      if (model_.contains(key) && model_.at(key).is_string() && !model_.at(key).get<std::string>().empty())
        refuse(detail::concat("has ", key, " ", shown_json(model_.at(key))));
    const json dropout = model_.value("dropout", json());
    if (dropout.is_number() && dropout.get<double>() != 0) refuse("has dropout " + shown_json(dropout));
  }

  // llama.cpp makes text of tokens by the kind alone.
  void check_decoder(bool has_bytes) const {
    const json decoder = tokenizer_.value("decoder", json());
    const std::vector<json> parts = parts_of(decoder, "decoders");
    const bool is_known = !parts.empty() && std::all_of(parts.begin(), parts.end(), [&](const json& part) {
      return has_bytes ? is_of_sentence_piece(part) : part.value("type", "") == "ByteLevel";
    });
    if (!is_known) refuse("has decoder " + shown(decoder));
  }

  static bool is_of_sentence_piece(const json& part) {
    const std::string type = part.value("type", "");
    if (type == "ByteFallback" || type == "Fuse") return true;
    if (type == "Replace") return part.at("pattern") == json{{"String", kSpace}} && part.value("content", "") == " ";
    if (type == "Strip") return part.value("content", "") == " " && part.value("stop", 1) == 0;
    return type == "Metaspace" && part.value("replacement", "") == kSpace;
  }

  // The space in front is put before every text, by a normalizer. What pre-tokenizers do (Metaspace) is something else:
  // they put none where one is, or only at the start.
  TokenizerKind sentence_piece() const {
    if (model_.at("ignore_merges").get<bool>()) refuse("has byte_fallback and ignore_merges");
    TokenizerKind out{.model = "llama", .pre = "default"};
    std::vector<json> left = normalizers_;
    const json prepend = {{"type", "Prepend"}, {"prepend", kSpace}};
    const json replace = {{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", kSpace}};
    if (!left.empty() && left.front() == prepend) {
      out.adds_space = true;
      left.erase(left.begin());
    }
    const bool replaces = left.size() == 1 && left.front() == replace;
    if (replaces && splits_.empty()) return out;
    if (left.empty() && !out.adds_space && is_metaspace_without_prefix()) return out;
    refuse(detail::concat("puts spaces by normalizer ", shown(tokenizer_.at("normalizer")), " and pre_tokenizer ",
                          shown(tokenizer_.at("pre_tokenizer"))));
  }

  bool is_metaspace_without_prefix() const {
    return splits_.size() == 1 && splits_[0].value("type", "") == "Metaspace" &&
           splits_[0].value("replacement", "") == kSpace && splits_[0].value("prepend_scheme", "") == "never" &&
           !splits_[0].value("split", true);
  }

  TokenizerKind byte_level() const {
    TokenizerKind out{.model = "gpt2"};
    const json nfc = {{"type", "NFC"}};
    if (normalizers_ == std::vector<json>{nfc})
      out.normalizes_nfc = true;
    else if (!normalizers_.empty())
      refuse("has normalizer " + shown(tokenizer_.at("normalizer")));
    out.pre = split_name();
    return out;
  }

  std::string split_name() const {
    const bool ignores_merges = model_.at("ignore_merges").get<bool>();
    if (splits_.size() == 1 && is_byte_level(splits_[0], true) && !ignores_merges) return "gpt-2";
    if (splits_.size() == 2 && is_byte_level(splits_[1], false))
      for (const SplitRule& rule : kSplitRules)
        if (rule.ignore_merges == ignores_merges && splits_[0] == split_by(rule.pattern)) return rule.pre;
    refuse(detail::concat("has pre_tokenizer ", shown(tokenizer_.at("pre_tokenizer")), " with ignore_merges ",
                          ignores_merges ? "true" : "false"));
  }

  static bool is_byte_level(const json& split, bool splits_words) {
    return split.value("type", "") == "ByteLevel" && !split.value("add_prefix_space", true) &&
           split.value("use_regex", true) == splits_words;
  }

  static json split_by(const char* pattern) {
    return {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
  }

  const json& tokenizer_;
  std::string subject_;
  const json& model_;
  std::vector<json> normalizers_, splits_;
};

}  // namespace

TokenizerKind tokenizer_kind(const json& tokenizer, const std::string& subject) {
  return KindReader(tokenizer, subject).read();
}

}  // namespace hici::io::gguf
