// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/passkey/result.h"

#include "hici/base/error.h"
#include "hici/base/json.h"

#include <algorithm>
#include <limits>

namespace hici::eval {
namespace {

constexpr double kNotANumber = std::numeric_limits<double>::quiet_NaN();
constexpr int64_t kMaxResultTokens = int64_t{1} << 40;

size_t depth_index(double depth) {
  return std::min(kNumPasskeyDepths - 1, static_cast<size_t>(depth * static_cast<double>(kNumPasskeyDepths)));
}

PasskeyLength length_from_json(const nlohmann::json& value, const std::string& subject) {
  const JsonObject object(value, subject);
  PasskeyLength length;
  length.target = object.integer("target", 1, kMaxResultTokens);
  length.rope_factor = object.number("rope_factor");
  const nlohmann::json& tests = object.at("tests");
  HICI_CHECK(tests.is_array(), subject, ": 'tests' is no list");
  for (const nlohmann::json& test : tests) length.tests.push_back(passkey_test_from_json(test, subject));
  return length;
}

}  // namespace

double PasskeyLength::mean_tokens() const {
  double sum = 0;
  for (const PasskeyTest& test : tests) sum += static_cast<double>(test.prompt_tokens);
  return tests.empty() ? kNotANumber : sum / static_cast<double>(tests.size());
}

double PasskeyLength::accuracy() const {
  const auto right = std::count_if(tests.begin(), tests.end(), [](const PasskeyTest& test) { return test.is_correct; });
  return tests.empty() ? kNotANumber : static_cast<double>(right) / static_cast<double>(tests.size());
}

std::array<double, kNumPasskeyDepths> PasskeyLength::accuracy_by_depth() const {
  std::array<PasskeyLength, kNumPasskeyDepths> parts;
  for (const PasskeyTest& test : tests) parts[depth_index(test.depth)].tests.push_back(test);
  std::array<double, kNumPasskeyDepths> accuracies{};
  std::transform(parts.begin(), parts.end(), accuracies.begin(), [](const auto& part) { return part.accuracy(); });
  return accuracies;
}

nlohmann::ordered_json to_json(const PasskeyTest& test) {
  return {{"seed", test.seed},     {"depth", test.depth},        {"key", test.key},
          {"answer", test.answer}, {"correct", test.is_correct}, {"prompt_tokens", test.prompt_tokens}};
}

PasskeyTest passkey_test_from_json(const nlohmann::json& value, const std::string& subject) {
  const JsonObject object(value, subject);
  PasskeyTest test;
  test.seed = static_cast<uint32_t>(object.integer("seed", 0, std::numeric_limits<uint32_t>::max()));
  test.depth = object.number("depth");
  HICI_CHECK(test.depth >= 0 && test.depth < 1, subject, ": depth ", test.depth, " is not in [0, 1)");
  test.key = object.integer("key", 0, std::numeric_limits<int64_t>::max());
  test.answer = object.string("answer");
  test.is_correct = object.boolean_or("correct", false);
  test.prompt_tokens = object.integer("prompt_tokens", 1, kMaxResultTokens);
  return test;
}

nlohmann::ordered_json to_json(const PasskeyLength& length) {
  nlohmann::ordered_json json{{"target", length.target}};
  if (!length.tests.empty()) json["tokens"] = length.mean_tokens();
  json["rope_factor"] = length.rope_factor;
  if (!length.tests.empty()) json["accuracy"] = length.accuracy();
  json["tests"] = nlohmann::ordered_json::array();
  for (const PasskeyTest& test : length.tests) json["tests"].push_back(to_json(test));
  return json;
}

std::vector<PasskeyLength> passkey_lengths_from_json(const nlohmann::json& result, const std::string& subject) {
  const nlohmann::json& lengths = JsonObject(result, subject).at("lengths");
  HICI_CHECK(lengths.is_array(), subject, ": 'lengths' is no list");
  std::vector<PasskeyLength> all;
  for (const nlohmann::json& length : lengths) all.push_back(length_from_json(length, subject));
  return all;
}

}  // namespace hici::eval
