// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/passkey/passkey.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/config/rope.h"
#include "hici/eval/passkey/prompt.h"
#include "hici/generate/prompt_encoder.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <optional>

namespace hici::eval {
namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 30;
constexpr int64_t kMaxCases = int64_t{1} << 22;
constexpr int64_t kShortestLength = 274;  // tokens whose filler is not cut to nothing

generate::Ids to_ids(const text::Ids& ids) { return {ids.begin(), ids.end()}; }

// The key alone, and behind the question with a space between them. A tokenizer that joins the question's end with the
// space or the key has no such tokens.
std::vector<generate::Ids> ids_of_key(const text::Tokenizer& tokenizer, const std::string& question, int64_t number) {
  const std::string key = std::to_string(number);
  const text::Ids alone = tokenizer.encode(key, false);
  const std::string back = tokenizer.decode(alone, true);
  HICI_CHECK(back.find(key) != std::string::npos, tokenizer.path().string(), ": cannot write the number ", key,
             " (it comes back as '", printable(back), "'); passkey retrieval needs a tokenizer with digits");
  std::vector<generate::Ids> right{to_ids(alone)};
  const text::Ids before = tokenizer.encode(question, false);
  const text::Ids joined = tokenizer.encode(question + " " + key, false);
  if (joined.size() > before.size() && std::equal(before.begin(), before.end(), joined.begin())) {
    right.emplace_back(joined.begin() + static_cast<std::ptrdiff_t>(before.size()), joined.end());
  }
  if (right.front() == right.back()) right.resize(1);
  return right;
}

}  // namespace

void PasskeyPlan::validate() const {
  HICI_CHECK_USAGE(interval >= kShortestLength, "`interval`: ", interval,
                   " tokens leave no room for filler, which comes in whole 1024 characters; use ", kShortestLength,
                   " or more");
  HICI_CHECK_USAGE(max_tokens >= interval, "`max_tokens`: ", max_tokens, " is below `interval` ", interval,
                   ", the first length; use as many or more");
  HICI_CHECK_USAGE(max_tokens <= kMaxTokens, "`max_tokens`: ", max_tokens, " is out of range; use up to ", kMaxTokens);
  HICI_CHECK_USAGE(num_tests >= 1, "`num_tests`: ", num_tests, " is not positive; use 1 or more");
  HICI_CHECK_USAGE(num_tests <= kMaxCases / (max_tokens / interval), "`num_tests`: ", num_tests, " for each of ",
                   max_tokens / interval, " lengths are more than ", kMaxCases, " tests; use fewer");
}

std::vector<int64_t> PasskeyPlan::lengths() const {
  std::vector<int64_t> lengths;
  for (int64_t length = interval; length <= max_tokens; length += interval) lengths.push_back(length);
  return lengths;
}

PasskeyRope passkey_rope(const config::ModelConfig& config, int64_t context, int64_t max_tokens) {
  // A linear scaling of the model's own counts too: it is the product that is a whole number.
  const double own = config.rope.type == config::RopeType::kLinear ? config.rope.factor : 1;
  const double needed = std::ceil(config::context_extension_factor(config, max_tokens) * own) / own;
  const auto reach = static_cast<int64_t>(config::rope_reach(config));
  HICI_CHECK_USAGE(context > 0 || max_tokens <= reach, "`max_tokens`: ", max_tokens, " is beyond the ", reach,
                   " tokens that the model supports without scaling, and would need a RoPE factor of ", needed,
                   "; give the `context_size` that it is to be stretched to, or use fewer tokens");
  return {context > 0 ? context : reach, config.rope.context_factor, needed};
}

int64_t PasskeyQuestion::num_answer_tokens() const {
  size_t most = 0;
  for (const generate::Ids& ids : right) most = std::max(most, ids.size());
  return static_cast<int64_t>(most);
}

bool PasskeyQuestion::is_right(const generate::Ids& answer) const {
  return std::any_of(right.begin(), right.end(), [&](const generate::Ids& ids) {
    return ids.size() <= answer.size() && std::equal(ids.begin(), ids.end(), answer.begin());
  });
}

PasskeyQuestion passkey_question(const text::Tokenizer& tokenizer, int64_t target_tokens, uint32_t seed) {
  const int64_t filler_length = passkey_filler_length(target_tokens);
  const PasskeyPrompt prompt = make_passkey_prompt(filler_length, seed);
  PasskeyQuestion question;
  question.seed = seed;
  question.depth = static_cast<double>(prompt.prefix_length) / static_cast<double>(filler_length);
  question.key = prompt.key;
  question.prompt = generate::PromptEncoder(tokenizer, std::nullopt, "").encode({prompt.text, nullptr, "passkey"});
  question.right = ids_of_key(tokenizer, prompt.text.substr(prompt.text.rfind('\n') + 1), prompt.key);
  return question;
}

PasskeyTest passkey_test(const PasskeyQuestion& question, const generate::Ids& answer,
                         const text::Tokenizer& tokenizer) {
  const size_t shown = std::min(answer.size(), static_cast<size_t>(question.num_answer_tokens()));
  const text::Ids ids(answer.begin(), answer.begin() + static_cast<std::ptrdiff_t>(shown));
  return {.seed = question.seed,
          .depth = question.depth,
          .key = question.key,
          .answer = tokenizer.decode(ids, true),
          .is_correct = question.is_right(answer),
          .prompt_tokens = static_cast<int64_t>(question.prompt.size())};
}

std::vector<PasskeyLength> passkey_lengths(const PasskeyPlan& plan, const PasskeyRope& rope,
                                           std::vector<PasskeyTest> tests) {
  HICI_ASSERT(static_cast<int64_t>(tests.size()) == plan.num_cases(), tests.size(), " tests of ", plan.num_cases());
  std::vector<PasskeyLength> lengths;
  auto next = std::make_move_iterator(tests.begin());
  for (const int64_t target : plan.lengths()) {
    lengths.push_back({target, rope.factor(target), {next, next + plan.num_tests}});
    next += plan.num_tests;
  }
  return lengths;
}

}  // namespace hici::eval
