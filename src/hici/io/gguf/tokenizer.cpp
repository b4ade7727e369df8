// SPDX-License-Identifier: Apache-2.0
#include "hici/io/gguf/tokenizer.h"

#include "hici/base/error.h"
#include "hici/base/is_there.h"
#include "hici/base/joined.h"
#include "hici/base/json.h"
#include "hici/base/log.h"
#include "hici/io/generation_config.h"
#include "hici/io/gguf/vocabulary.h"
#include "hici/text/chat_template_files.h"
#include "hici/text/tokenizer.h"

#include <algorithm>
#include <array>

namespace hici::io::gguf {
namespace {

// llama.cpp ends an answer at tokens of these texts, whatever the file says. (llama-vocab.cpp; those of its list that
// models of Llama and Qwen have.)
constexpr std::array kKnownEnds{"<|eot_id|>", "<|im_end|>",      "<|endoftext|>", "</s>",
                                "<|eom_id|>", "<|end_of_text|>", "<end_of_turn>", "<eos>"};

bool has_any_tokenizer(const fs::path& folder) {
  for (const char* name : {"tokenizer.json", "tokenizer.model", "vocab.json", "merges.txt"})
    if (is_there(folder / name)) return true;
  return false;
}

class TokenizerWriter {
 public:
  TokenizerWriter(const TokenizerFolders& folders, const config::ModelConfig& config)
      : folders_(folders),
        config_(config),
        tokenizer_(text::Tokenizer::from_path(folders.tokenizer, 1)),
        subject_(tokenizer_.path().string()) {}

  Metadata write() {
    {
      const nlohmann::json json = tokenizer_.to_json();
      kind_ = tokenizer_kind(json, subject_);
      vocabulary_ = vocabulary_of(json, kind_, config_.vocab_size, subject_);
    }
    add("model", kind_.model);
    add("pre", kind_.pre);
    add_special_ids();
    if (kind_.model == "llama") {
      add("add_space_prefix", kind_.adds_space);
      add("scores", std::move(vocabulary_.scores));
    } else {
      add("merges", std::move(vocabulary_.merges));
    }
    add("token_type", std::move(vocabulary_.types));
    add("tokens", std::move(vocabulary_.tokens));
    add_chat_templates();
    if (kind_.normalizes_nfc)
      log_info(subject_,
               ": brings text into Unicode's form NFC, and llama.cpp does not: there, give it text that has it");
    return std::move(out_);
  }

 private:
  void add(const std::string& key, Value value) { out_.emplace_back("tokenizer.ggml." + key, std::move(value)); }

  void add_id(const std::string& key, std::optional<int64_t> id) {
    if (!id) return;
    HICI_CHECK(*id >= 0 && *id < config_.vocab_size, subject_, ": ", key, " ", *id,
               " is no row of the model, which has ", config_.vocab_size);
    add(key + "_token_id", static_cast<uint32_t>(*id));
  }

  std::optional<int64_t> named(const std::string& token) const {
    const std::optional<std::string> text = tokenizer_.special_token(token);
    const std::optional<uint32_t> id = text ? tokenizer_.token_to_id(*text) : std::nullopt;
    return id ? std::optional<int64_t>(*id) : std::nullopt;
  }

  // The one token that a text gets before or behind it, or none.
  std::optional<int64_t> put_by_itself(const text::Ids& ids, const char* where) const {
    if (ids.empty()) return std::nullopt;
    HICI_CHECK(ids.size() == 1, subject_, ": puts ", ids.size(), " tokens ", where, " every text, and llama.cpp one",
               kWayOut);
    return ids.front();
  }

  void add_special_ids() {
    const std::optional<int64_t> before = put_by_itself(tokenizer_.special_ids_before(), "in front of"),
                                 after = put_by_itself(tokenizer_.special_ids_after(), "behind");
    const std::optional<int64_t> bos = before ? before : named("bos_token") ? named("bos_token") : config_.bos_token_id;
    add_id("bos", bos);
    add_ends(after);
    add_id("unknown", named("unk_token"));
    add_id("seperator", named("sep_token"));  // as the format spells it
    add_id("padding", named("pad_token"));
    add_id("mask", named("mask_token"));
    add("add_bos_token", before.has_value());
    add("add_eos_token", after.has_value());
  }

  // What ends an answer: one token by the name of eos, and up to two others.
  void add_ends(std::optional<int64_t> after) {
    const GenerationConfig said = read_generation_config(folders_.generation, config_);
    warn_of_penalty(said.repetition_penalty);
    std::vector<int64_t> ends = said.stop_ids;
    std::optional<int64_t> eos = after ? after : named("eos_token");
    // llama.cpp ends an answer at its eos, transformers at those of the model alone.
    const bool ends_answers = eos && std::find(ends.begin(), ends.end(), *eos) != ends.end();
    if (!ends.empty() && !after && !ends_answers) eos = ends.front();
    if (after && !ends.empty() && !ends_answers)
      log_warning(folders_.generation.string(), ": ", printable(text_of(*after)),
                  " stands behind every text and ends no answer; llama.cpp ends answers at it too");
    // 11 is GPT-NeoX's.
    HICI_CHECK(eos, subject_,
               ": no file says which token ends an answer, and llama.cpp would take token 11; give eos_token in "
               "tokenizer_config.json");
    add_id("eos", eos);
    std::erase_if(ends, [&](int64_t id) { return id == *eos || ends_by_its_text(id); });
    const std::array keys{"eot", "eom"};
    for (size_t i = 0; i < std::min(ends.size(), keys.size()); ++i) add_id(keys[i], ends[i]);
    if (ends.size() <= keys.size()) return;
    std::vector<std::string> others;
    for (size_t i = keys.size(); i < ends.size(); ++i) others.push_back(printable(text_of(ends[i])));
    log_warning(
        folders_.generation.string(), ": ", ends.size() + 1,
        " tokens end an answer, of which a GGUF file says three; give the others to llama.cpp: ", joined(others));
  }

  void warn_of_penalty(double penalty) const {
    if (penalty == 1) return;
    log_warning(folders_.generation.string(), ": repetition_penalty ", penalty,
                " has no place in a GGUF file; give it to llama.cpp: --repeat-penalty ", penalty,
                " --repeat-last-n -1");
  }

  bool ends_by_its_text(int64_t id) const {
    return std::find(kKnownEnds.begin(), kKnownEnds.end(), text_of(id)) != kKnownEnds.end();
  }

  std::string text_of(int64_t id) const {
    return tokenizer_.id_to_token(static_cast<uint32_t>(id)).value_or(detail::concat("id ", id));
  }

  void add_chat_templates() {
    const auto files = text::read_chat_template_files(folders_.chat_template);
    if (!files) return;
    std::vector<std::string> names;
    for (const auto& [name, source] : files->templates) {
      const bool is_usual = name == "default";
      out_.emplace_back(is_usual ? "tokenizer.chat_template" : "tokenizer.chat_template." + name, source);
      if (!is_usual) names.push_back(name);
    }
    if (!names.empty()) out_.emplace_back("tokenizer.chat_templates", std::move(names));
  }

  const TokenizerFolders& folders_;
  const config::ModelConfig& config_;
  text::Tokenizer tokenizer_;
  std::string subject_;
  TokenizerKind kind_;
  Vocabulary vocabulary_;
  Metadata out_;
};

}  // namespace

Metadata tokenizer_metadata(const TokenizerFolders& folders, const config::ModelConfig& config) {
  if (has_any_tokenizer(folders.tokenizer)) return TokenizerWriter(folders, config).write();
  log_warning(folders.tokenizer.string(), ": has no tokenizer, so the GGUF file has none either: llama.cpp takes ids");
  return {{"tokenizer.ggml.model", std::string("none")}};
}

}  // namespace hici::io::gguf
