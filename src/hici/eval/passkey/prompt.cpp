// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/passkey/prompt.h"

#include "hici/base/error.h"
#include "hici/eval/passkey/numpy_random.h"

#include <cmath>
#include <string_view>

namespace hici::eval {
namespace {

constexpr std::string_view kTask =
    "There is an important info hidden inside a lot of irrelevant text. Find it and memorize them. I will quiz you "
    "about "
    "the important information there.";
constexpr std::string_view kFiller =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again. ";
constexpr std::string_view kQuestion = "What is the pass key? The pass key is";
constexpr int64_t kKeyEnd = 50'000;
constexpr int64_t kMaxFillerLength = int64_t{1} << 32;

std::string filler(int64_t length) {
  std::string text;
  text.reserve(static_cast<size_t>(length) + kFiller.size());
  while (static_cast<int64_t>(text.size()) < length) text += kFiller;
  text.resize(static_cast<size_t>(length));
  return text;
}

}  // namespace

PasskeyPrompt make_passkey_prompt(int64_t filler_length, uint32_t seed) {
  HICI_CHECK(filler_length >= 1 && filler_length <= kMaxFillerLength, "passkey: ", filler_length,
             " characters of filler; use 1 to ", kMaxFillerLength);
  NumpyRandom random(seed);
  PasskeyPrompt prompt;
  prompt.prefix_length = random.randint(0, filler_length);
  prompt.key = random.randint(1, kKeyEnd);
  const std::string key = std::to_string(prompt.key);
  prompt.text.append(kTask).append("\n").append(filler(prompt.prefix_length)).append("\n");
  prompt.text += "The pass key is " + key + ". Remember it. " + key + " is the pass key.\n";
  prompt.text.append(filler(filler_length - prompt.prefix_length)).append("\n").append(kQuestion);
  return prompt;
}

int64_t passkey_filler_length(int64_t num_tokens) {
  return static_cast<int64_t>(std::floor(3.75 * static_cast<double>(num_tokens) / 1024)) * 1024;
}

}  // namespace hici::eval
