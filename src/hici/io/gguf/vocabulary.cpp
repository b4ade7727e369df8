// SPDX-License-Identifier: Apache-2.0
#include "hici/io/gguf/vocabulary.h"

#include "hici/base/error.h"
#include "hici/base/json.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <set>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

namespace hici::io::gguf {
namespace {

using nlohmann::json;

constexpr size_t kMaxMerges = size_t{1} << 24;  // scores are whole numbers in float32

bool is_start_of_character(char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }

size_t num_characters(std::string_view text) {
  return static_cast<size_t>(std::count_if(text.begin(), text.end(), is_start_of_character));
}

std::string byte_token(int byte) {
  char out[8] = {};
  std::snprintf(out, sizeof out, "<0x%02X>", static_cast<unsigned>(byte));
  return out;
}

// GPT-2's letter for a byte, in UTF-8: the byte itself where it is a visible character of Latin-1.
std::string byte_letter(int byte) {
  const auto is_visible = [](int b) { return (b >= 33 && b <= 126) || (b >= 161 && b != 173); };
  int character = byte;
  if (!is_visible(byte)) {
    character = 256;
    for (int before = 0; before < byte; ++before) character += is_visible(before) ? 0 : 1;
  }
  if (character < 128) return {static_cast<char>(character)};
  return {static_cast<char>(0xC0 | (character >> 6)), static_cast<char>(0x80 | (character & 0x3F))};
}

class VocabularyReader {
 public:
  VocabularyReader(const json& tokenizer, const TokenizerKind& kind, int64_t rows, const std::string& subject)
      : added_(tokenizer.at("added_tokens")),
        model_(tokenizer.at("model")),
        kind_(kind),
        is_sentence_piece_(kind.model == "llama"),
        subject_(subject) {
    out_.tokens.resize(static_cast<size_t>(rows));
    out_.types.assign(out_.tokens.size(), static_cast<int32_t>(TokenType::kUnused));
  }

  Vocabulary read() {
    for (const auto& [text, id] : model_.at("vocab").items()) {
      put(text, id.get<uint64_t>(), TokenType::kNormal);
      ids_.emplace(text, id.get<uint64_t>());
    }
    is_sentence_piece_ ? read_bytes() : check_letters();
    read_added();
    read_unknown();
    fill_unused();
    is_sentence_piece_ ? read_scores() : read_merges();
    return std::move(out_);
  }

 private:
  template <typename... Parts>
  [[noreturn]] void refuse(const Parts&... parts) const {
    fail(subject_, ": ", parts..., kWayOut);
  }

  void put(const std::string& text, uint64_t id, TokenType type) {
    if (id >= out_.tokens.size())
      refuse("token '", printable(text), "' has id ", id, ", and the model has ", out_.tokens.size(), " rows");
    out_.tokens[id] = text;
    out_.types[id] = static_cast<int32_t>(type);
  }

  void read_bytes() {
    for (int byte = 0; byte < 256; ++byte) {
      const auto found = ids_.find(byte_token(byte));
      if (found == ids_.end()) refuse("has byte_fallback, and no token ", byte_token(byte));
      out_.types[found->second] = static_cast<int32_t>(TokenType::kByte);
    }
  }

  // What has no letter is left out by both, without an unknown token.
  void check_letters() const {
    if (!model_.at("unk_token").is_string()) return;
    for (int byte = 0; byte < 256; ++byte)
      if (!ids_.contains(byte_letter(byte)))
        refuse("has unk_token ", shown_json(model_.at("unk_token")), " and no letter for byte ", byte,
               ", which llama.cpp leaves out");
  }

  void read_added() {
    std::vector<std::string> texts;
    for (const json& token : added_) {
      const auto text = token.at("content").get<std::string>();
      check_flags(token, text);
      put(text, token.at("id").get<uint64_t>(),
          token.at("special").get<bool>() ? TokenType::kControl : TokenType::kUserDefined);
      texts.push_back(text);
    }
    check_overlaps(texts);
  }

  void check_flags(const json& token, const std::string& text) const {
    for (const char* flag : {"single_word", "lstrip", "rstrip"})
      if (token.at(flag).get<bool>())
        refuse("added token '", printable(text), "' has ", flag, " true, which llama.cpp does not have");
    const bool is_changed = kind_.adds_space || text.find(' ') != std::string::npos;
    if (is_sentence_piece_ && is_changed && token.at("normalized").get<bool>())
      refuse("added token '", printable(text),
             "' has normalized true, so that it is looked for with a space in front; llama.cpp looks for the token "
             "itself");
  }

  // Of two tokens that overlap in a text, the first one counts here, and the longer one in llama.cpp.
  void check_overlaps(const std::vector<std::string>& texts) const {
    std::unordered_map<std::string_view, std::string_view> longest;  // of the tokens that begin so
    for (const std::string_view text : texts)
      for (size_t size = 1; size < text.size(); ++size) {
        std::string_view& held = longest[text.substr(0, size)];
        if (text.size() > held.size()) held = text;
      }
    for (const std::string_view text : texts)
      for (size_t start = 1; start < text.size(); ++start) {
        const auto found = longest.find(text.substr(start));
        if (found != longest.end() && found->second != text && found->second.size() >= text.size() &&
            !is_run(found->second))
          refuse("added tokens '", printable(text), "' and '", printable(found->second),
                 "' overlap, and llama.cpp takes the longer one where the first one counts");
      }
  }

  // Of one character over and over: the longest one is taken by both.
  static bool is_run(std::string_view text) {
    return std::all_of(text.begin(), text.end(), [&](char c) { return c == text.front(); });
  }

  void read_unknown() {
    if (!is_sentence_piece_ || !model_.at("unk_token").is_string()) return;
    const auto found = ids_.find(model_.at("unk_token").get<std::string>());
    if (found != ids_.end()) out_.types[found->second] = static_cast<int32_t>(TokenType::kUnknown);
  }

  // llama.cpp stops at two tokens of the same text.
  void fill_unused() {
    std::unordered_set<std::string> taken;
    for (size_t id = 0; id < out_.tokens.size(); ++id)
      if (out_.types[id] != static_cast<int32_t>(TokenType::kUnused)) taken.insert(out_.tokens[id]);
    for (size_t id = 0; id < out_.tokens.size(); ++id) {
      if (out_.types[id] != static_cast<int32_t>(TokenType::kUnused)) continue;
      std::string text = detail::concat("[UNUSED", id, "]");
      while (!taken.insert(text).second) text += "_";
      out_.tokens[id] = text;
    }
  }

  void read_merges() {
    for (const json& merge : model_.at("merges")) {
      const auto left = merge.at(0).get<std::string>(), right = merge.at(1).get<std::string>();
      if ((left + right).find(' ') != std::string::npos)
        refuse("merges '", printable(left), "' and '", printable(right), "', and llama.cpp's have no spaces");
      out_.merges.push_back(left + " " + right);
    }
  }

  // SentencePiece merges two neighbours whenever both together are a token, the one with the largest score first. So
  // the merges must be all pairs that make a token, token by token.
  void read_scores() {
    const json& merges = model_.at("merges");
    if (merges.size() >= kMaxMerges) refuse("has ", merges.size(), " merges, more than ", kMaxMerges - 1);
    out_.scores.assign(out_.tokens.size(), -static_cast<float>(merges.size()));
    std::set<std::pair<std::string, std::string>> known;
    std::string before;
    std::unordered_set<std::string> done;
    for (size_t rank = 0; rank < merges.size(); ++rank) {
      auto left = merges[rank].at(0).get<std::string>(), right = merges[rank].at(1).get<std::string>();
      const std::string both = left + right;
      if (both != before) {
        if (!done.insert(both).second)
          refuse("has merges of '", printable(both), "' between those of other tokens, which scores do not say");
        out_.scores[ids_.at(both)] = -static_cast<float>(rank);
        before = both;
      }
      known.emplace(std::move(left), std::move(right));
    }
    check_all_pairs(known);
  }

  void check_all_pairs(const std::set<std::pair<std::string, std::string>>& known) const {
    for (const auto& [text, id] : ids_) {
      const auto type = static_cast<TokenType>(out_.types[id]);
      if (type != TokenType::kNormal && type != TokenType::kByte) continue;  // taken out of the text before
      for (size_t at = 1; at < text.size(); ++at) {
        if (!is_start_of_character(text[at])) continue;
        const std::string left = text.substr(0, at), right = text.substr(at);
        if (can_be_there(left) && can_be_there(right) && !known.contains({left, right}))
          refuse("does not merge '", printable(left), "' and '", printable(right), "', which llama.cpp does as '",
                 printable(text), "' is a token");
      }
    }
  }

  bool can_be_there(const std::string& symbol) const { return ids_.contains(symbol) || num_characters(symbol) == 1; }

  const json &added_, &model_;
  const TokenizerKind& kind_;
  bool is_sentence_piece_;
  std::string subject_;
  std::unordered_map<std::string, uint64_t> ids_;  // of the model's own tokens
  Vocabulary out_;
};

}  // namespace

Vocabulary vocabulary_of(const json& tokenizer, const TokenizerKind& kind, int64_t rows, const std::string& subject) {
  return VocabularyReader(tokenizer, kind, rows, subject).read();
}

}  // namespace hici::io::gguf
