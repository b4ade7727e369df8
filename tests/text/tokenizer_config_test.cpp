// SPDX-License-Identifier: Apache-2.0
// What transformers makes of the same files is in tests/integration/test_tokenizer_config.py.
#include "hici/text/tokenizer_config.h"

#include "hici/base/file.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

namespace hici::text {
namespace {

using hici::testing::TemporaryFolder;

class TokenizerConfigTest : public ::testing::Test {
 protected:
  void write(const char* name, const std::string& text) { write_file_atomically(folder_ / name, text); }
  TokenizerConfig read() const { return read_tokenizer_config(folder_.path()); }
  static std::vector<std::string> contents(const nlohmann::json& tokens) {
    std::vector<std::string> texts;
    for (const nlohmann::json& token : tokens) texts.push_back(token.at("content"));
    return texts;
  }
  using Texts = std::vector<std::string>;

  TemporaryFolder folder_;
};

TEST_F(TokenizerConfigTest, NoFileSaysNothing) {
  const TokenizerConfig config = read();
  EXPECT_TRUE(config.special_tokens.empty());
  EXPECT_TRUE(config.added_tokens.empty());
  EXPECT_TRUE(config.named_tokens.empty());
}

// transformers merges the older file over the newer one, unless that has added_tokens_decoder.
TEST_F(TokenizerConfigTest, TheOlderFileGoesBeforeUnlessThereIsADecoder) {
  write("special_tokens_map.json", R"({"bos_token": "<a>", "eos_token": {"content": "<b>", "lstrip": false}})");
  write("tokenizer_config.json", R"({"bos_token": "<c>", "eos_token": null, "pad_token": "<p>"})");
  EXPECT_EQ(read().special_token("bos_token"), "<a>");
  EXPECT_EQ(read().special_token("eos_token"), "<b>");
  EXPECT_EQ(read().special_token("pad_token"), "<p>");
  write("tokenizer_config.json", R"({"bos_token": "<c>", "eos_token": null, "added_tokens_decoder": {}})");
  EXPECT_EQ(read().special_token("bos_token"), "<c>");
  EXPECT_EQ(read().special_token("eos_token"), std::nullopt);
}

TEST_F(TokenizerConfigTest, TokensComeInTransformersOrder) {
  write("tokenizer_config.json", R"({"bos_token": "<s>", "additional_special_tokens": ["<x>"],
    "added_tokens_decoder": {"10": {"content": "ten", "special": false}, "9": {"content": "nine", "special": true, "lstrip": true}}})");
  const TokenizerConfig config = read();
  EXPECT_EQ(contents(config.added_tokens), Texts({"nine", "ten"}));
  EXPECT_EQ(contents(config.named_tokens), Texts({"<s>", "<x>"}));
  EXPECT_TRUE(config.added_tokens[0].at("lstrip"));
  EXPECT_FALSE(config.added_tokens[0].at("normalized"));
  EXPECT_TRUE(config.added_tokens[1].at("normalized"));
  EXPECT_TRUE(config.named_tokens[1].at("special"));
}

TEST_F(TokenizerConfigTest, AddedTokensOfTheOldestFormAreRead) {
  write("added_tokens.json", R"({"<pad>": 8, "word": 7})");
  write("tokenizer_config.json", R"({"pad_token": "<pad>"})");
  EXPECT_EQ(contents(read().added_tokens), Texts({"word", "<pad>"}));
  EXPECT_TRUE(read().added_tokens[1].at("special"));
  write("added_tokens.json", R"({"<pad>": "eight"})");
  EXPECT_ERROR_SAYS(read(), "added_tokens.json: '<pad>' has \"eight\", which is no id");
}

TEST_F(TokenizerConfigTest, SettingsThatChangeIdsAreRefused) {
  write("tokenizer_config.json", R"({"split_special_tokens": true})");
  EXPECT_ERROR_SAYS(read(), "split_special_tokens true is not supported");
  write("tokenizer_config.json", R"({"tokenizer_class": "Qwen2Tokenizer", "add_prefix_space": true})");
  EXPECT_ERROR_SAYS(read(), "add_prefix_space true with Qwen2Tokenizer makes transformers build another tokenizer");
  write("tokenizer_config.json", R"({"tokenizer_class": "LlamaTokenizerFast", "add_prefix_space": false})");
  EXPECT_ERROR_SAYS(read(), "add_prefix_space false with LlamaTokenizerFast");
  for (const char* neutral : {R"({"tokenizer_class": "LlamaTokenizer", "add_prefix_space": true})",
                              R"({"tokenizer_class": "Qwen2Tokenizer", "add_prefix_space": false})",
                              R"({"tokenizer_class": "PreTrainedTokenizerFast", "add_prefix_space": true})",
                              R"({"tokenizer_class": "LlamaTokenizer", "add_prefix_space": null})"}) {
    write("tokenizer_config.json", neutral);
    EXPECT_TRUE(read().notes.empty()) << neutral;
  }
}

TEST_F(TokenizerConfigTest, UnknownKeysAndCodeAreNamed) {
  write("tokenizer_config.json", R"({"frobnicate": 1, "image_token": "<img>", "auto_map": {}, "absent": null})");
  const TokenizerConfig config = read();
  ASSERT_EQ(config.notes.size(), 2U);
  EXPECT_NE(config.notes[0].find("auto_map names code"), std::string::npos);
  EXPECT_NE(config.notes[1].find("keys that hici does not know are not used: frobnicate"), std::string::npos);
  EXPECT_EQ(config.special_token("image_token"), "<img>");
}

TEST_F(TokenizerConfigTest, WhatIsNoTokenIsAnError) {
  for (const char* wrong :
       {R"({"bos_token": 7})", R"({"extra_special_tokens": "<x>"})", R"({"extra_special_tokens": [7]})",
        R"({"added_tokens_decoder": {"x": {"content": "a"}}})", R"({"added_tokens_decoder": {"1": {}}})",
        R"({"added_tokens_decoder": [1]})", R"({"bos_token": {"content": "a", "lstrip": 1}})", "[]"}) {
    write("tokenizer_config.json", wrong);
    EXPECT_ERROR_SAYS(read(), "tokenizer_config.json: ");
  }
}

}  // namespace
}  // namespace hici::text
