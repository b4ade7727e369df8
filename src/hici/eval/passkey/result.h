// SPDX-License-Identifier: Apache-2.0
// The result of `hici eval passkey`: its JSON, and accuracies by length and by position of the key.
#pragma once

#include <nlohmann/json.hpp>

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace hici::eval {

// One prompt and its answer.
struct PasskeyTest {
  uint32_t seed = 0;
  double depth = 0;  // share of the filler before the key, in [0, 1)
  int64_t key = 0;
  std::string answer;  // text of as many tokens as the key has
  bool is_correct = false;
  int64_t prompt_tokens = 0;
};

constexpr size_t kNumPasskeyDepths = 10;

// All prompts of one length.
struct PasskeyLength {
  int64_t target = 0;      // tokens, as asked for
  double rope_factor = 1;  // RopeConfig::context_factor
  std::vector<PasskeyTest> tests;

  double mean_tokens() const;
  double accuracy() const;
  // By tenths of the depth; NaN without a test.
  std::array<double, kNumPasskeyDepths> accuracy_by_depth() const;
};

nlohmann::ordered_json to_json(const PasskeyTest& test);
PasskeyTest passkey_test_from_json(const nlohmann::json& value, const std::string& subject);

// {"target", "tokens", "rope_factor", "accuracy", "tests"}; means over no test are left out.
nlohmann::ordered_json to_json(const PasskeyLength& length);
// The "lengths" of a result file. `subject` names it in messages.
std::vector<PasskeyLength> passkey_lengths_from_json(const nlohmann::json& result, const std::string& subject);

}  // namespace hici::eval
