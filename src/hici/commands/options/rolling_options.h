// SPDX-License-Identifier: Apache-2.0
// `hici eval ppl --rolling`: perplexities by lm-eval's rolling log-likelihood.
#pragma once

#include "hici/commands/options/option.h"
#include "hici/data/documents.h"
#include "hici/eval/perplexity.h"

#include <nlohmann/json.hpp>

#include <optional>
#include <string>

namespace hici::commands {

struct RollingOptions {
  Option<bool> rolling{false};
  Option<int64_t> prefix_token_id{-1};  // -1: the tokenizer's BOS, else its EOS

  void bind(CLI::App& command);
  bool is_on() const { return rolling.value; }
  // `without`: options that have no meaning with --rolling, which are usage errors when they were typed.
  void check(OptionList without) const;
  data::Documents open(const data::ModelData& data, const std::optional<data::TokenTypeChoice>& type) const;
};

// All that repeats the result, beside the settings of every perplexity.
nlohmann::json rolling_settings(const data::Documents& documents);
// log_likelihood, and perplexities by words and bytes where the documents have such; their text for a terminal.
nlohmann::json rolling_result(const data::Documents& documents, const eval::PerplexityResult& result);
std::string rolling_text(const nlohmann::json& result);

}  // namespace hici::commands
