// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/passkey/prompt.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/base/sha256.h"
#include "hici/eval/passkey/numpy_random.h"
#include "support/error_message.h"

#include <gtest/gtest.h>

namespace hici::eval {
namespace {

// Made by make_passkey_expected.py with numpy.
nlohmann::json expected() { return read_json_file(HICI_SOURCE_DIR "/tests/eval/data/passkey_expected.json"); }

TEST(NumpyRandomTest, DrawsAreThoseOfRandomState) {
  const nlohmann::json all = expected();
  for (const auto& run : all["draws"]) {
    NumpyRandom random(run[0].get<uint32_t>());
    for (const auto& draw : run[1])
      ASSERT_EQ(random.randint(draw[0].get<int64_t>(), draw[1].get<int64_t>()), draw[2].get<int64_t>()) << draw;
  }
}

// [n, seed, prefix length, key] of the passkey tests that the paper's code draws.
TEST(PasskeyPromptTest, PlacesAndKeysAreThoseOfThePublishedTests) {
  const nlohmann::json draws = read_json_file(HICI_SOURCE_DIR "/tests/eval/data/numpy_draws.json");
  ASSERT_GE(draws.size(), 30u);
  for (const auto& draw : draws) {
    const PasskeyPrompt prompt = make_passkey_prompt(draw[0].get<int64_t>(), draw[1].get<uint32_t>());
    EXPECT_EQ(prompt.prefix_length, draw[2].get<int64_t>()) << draw;
    EXPECT_EQ(prompt.key, draw[3].get<int64_t>()) << draw;
  }
}

TEST(PasskeyPromptTest, TextsAreThoseOfPython) {
  const nlohmann::json all = expected();
  for (const auto& row : all["prompts"]) {
    const PasskeyPrompt prompt = make_passkey_prompt(row[0].get<int64_t>(), row[1].get<uint32_t>());
    EXPECT_EQ(prompt.prefix_length, row[2].get<int64_t>());
    EXPECT_EQ(prompt.key, row[3].get<int64_t>());
    EXPECT_EQ(sha256_hex(prompt.text), row[4].get<std::string>()) << prompt.text.substr(0, 400);
  }
  for (const auto& [tokens, length] : all["lengths"].items())
    EXPECT_EQ(passkey_filler_length(std::stoll(tokens)), length.get<int64_t>()) << tokens;
}

TEST(PasskeyPromptTest, RefusesLengthsWithoutFiller) {
  EXPECT_ERROR_SAYS(make_passkey_prompt(0, 1), "passkey: 0 characters of filler");
  EXPECT_ERROR_SAYS(make_passkey_prompt(int64_t{1} << 33, 1), "passkey: 8589934592 characters of filler");
}

}  // namespace
}  // namespace hici::eval
