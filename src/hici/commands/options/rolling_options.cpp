// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/rolling_options.h"

#include "hici/base/error.h"
#include "hici/base/log.h"
#include "hici/base/text_table.h"

#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numbers>

namespace hici::commands {

void RollingOptions::bind(CLI::App& command) {
  add_bool(command, "rolling", rolling,
           "lm-eval's rolling log-likelihood: each token of a document is predicted once, also those of the last, "
           "partial window; perplexities by tokens, words and bytes. --seq_len is lm-eval's max_length");
  add_option(command, "prefix_token_id", prefix_token_id,
             "With --rolling: the token before each document; -1: the tokenizer's BOS, else its EOS",
             {-1, config::kMaxCount});
}

void RollingOptions::check(OptionList without) const {
  for (const DeclaredOption* option : without) {
    HICI_CHECK_USAGE(!is_on() || !option->typed(), option->name(),
                     ": has no meaning with --rolling, whose windows lie side by side and are whole; leave it out");
  }
  HICI_CHECK_USAGE(is_on() || !prefix_token_id.typed(), prefix_token_id.name(),
                   ": has no effect without --rolling; give that, or leave it out");
}

data::Documents RollingOptions::open(const data::ModelData& data,
                                     const std::optional<data::TokenTypeChoice>& type) const {
  std::optional<int64_t> prefix;
  if (prefix_token_id.value >= 0) prefix = prefix_token_id.value;
  data::Documents documents = data::open_documents(data, type, prefix);
  if (!documents.words)
    log_info(data.path.string(), ": holds ids; perplexities by words and bytes are not known, for which give the text");
  return documents;
}

nlohmann::json rolling_settings(const data::Documents& documents) {
  return {{"rolling", true},
          {"documents", documents.ends.size()},
          {"prefix_token_id", documents.prefix_token},
          {"data_sha256", documents.sha256()}};
}

nlohmann::json rolling_result(const data::Documents& documents, const eval::PerplexityResult& result) {
  const double nats = result.loss * static_cast<double>(result.predicted_tokens);
  nlohmann::json json = {{"log_likelihood", -nats}};
  if (!documents.words) return json;
  const auto words = static_cast<double>(*documents.words), bytes = static_cast<double>(*documents.bytes);
  json["words"] = *documents.words;
  json["bytes"] = *documents.bytes;
  json["word_perplexity"] = std::exp(nats / words);  // null if it is beyond all numbers
  json["byte_perplexity"] = std::exp(nats / bytes);
  json["bits_per_byte"] = nats / bytes / std::numbers::ln2;
  return json;
}

namespace {

// A word of a model that knows nothing is beyond what anybody reads digit by digit.
std::string shown_perplexity(double value) {
  if (!std::isfinite(value)) return "inf";
  if (value < 1e9) return fixed_digits(value, 4);
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.4e", value);
  return text.data();
}

}  // namespace

std::string rolling_text(const nlohmann::json& result) {
  if (!result.contains("words")) return "";
  std::string text;
  for (const char* key : {"word_perplexity", "byte_perplexity", "bits_per_byte"}) {
    const double value = result[key].get<double>();
    text += detail::concat(key, " ", shown_perplexity(value), "  ");
  }
  for (char& c : text) c = c == '_' ? ' ' : c;
  return text;
}

}  // namespace hici::commands
