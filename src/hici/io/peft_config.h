// SPDX-License-Identifier: Apache-2.0
// adapter_config.json of PEFT 0.1 to 0.21: every key of a LoRA adapter is read, known to change no number, or refused
// by name. A key that is not in the list might change the numbers, so it is an error.
#pragma once

#include "hici/base/known_keys.h"
#include "hici/base/pattern.h"
#include "hici/config/lora_config.h"

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hici::io {

// Which modules a configuration adapts, by PEFT's rule.
class TargetRule {
 public:
  // False where no file has been read, as for weights of a training dump; then nothing can be said.
  bool is_known() const { return is_known_; }
  // True where the file names no targets and PEFT takes its defaults.
  bool is_default() const { return is_default_; }
  // `module`: a linear layer or the embedding of the base, such as "model.layers.0.mlp.up_proj" or "lm_head".
  bool adapts(const std::string& module) const;
  // True where plain names of the end of modules say it all.
  bool is_plain() const { return is_known_ && !expression_ && !all_linear_ && !has_limits(); }
  const std::vector<std::string>& names() const { return names_; }

 private:
  friend class PeftConfigParser;
  bool has_limits() const { return !excluded_.empty() || excluded_expression_ || !layers_.empty(); }
  bool is_excluded(const std::string& module) const;
  bool is_in_layers(const std::string& module) const;

  bool is_known_ = false, is_default_ = false, all_linear_ = false;
  std::optional<Pattern> expression_, excluded_expression_;
  std::vector<std::string> names_, excluded_;
  std::vector<Pattern> saved_;  // modules_to_save goes before target_modules
  std::set<int64_t> layers_;    // empty: all
  std::vector<Pattern> layer_lists_;
};

struct PeftConfig {
  config::LoraConfig lora;  // `modules` empty
  TargetRule targets;
  std::string base_model;
  std::vector<std::string> modules_to_save;
  std::map<std::string, std::vector<int64_t>>
      token_rows;  // by end of a module's name, as trainable_token_indices has it
  bool use_dora = false;
  bool lora_bias = false;
  bool ties_weights = false;                // ensure_weight_tying
  std::optional<double> lora_dropout = {};  // of its training
  std::string why_not_trained = {};         // an initialisation whose training differs; empty: none
};

// `text` is the file, `subject` its name.
PeftConfig parse_peft_config(std::string_view text, const std::string& subject);

// True for a parameter of a module that modules_to_save names.
bool is_saved_whole(const PeftConfig& config, const std::string& parameter);

// The list of keys as a table for docs/formats.md.
std::span<const KnownKey> peft_config_keys();

}  // namespace hici::io
