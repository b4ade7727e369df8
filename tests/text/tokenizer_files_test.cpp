// SPDX-License-Identifier: Apache-2.0
#include "hici/text/tokenizer_files.h"

#include "hici/base/file.h"
#include "hici/text/chat_template_files.h"
#include "hici/text/tokenizer_config.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

namespace hici::text {
namespace {

using hici::testing::TemporaryFolder;

TEST(FindTokenizerJsonTest, SaysWhatIsMissing) {
  const TemporaryFolder folder;
  EXPECT_ERROR_SAYS(find_tokenizer_json(folder / "none"), "no such file or folder");
  EXPECT_ERROR_SAYS(find_tokenizer_json(folder.path()), "has no tokenizer.json; give a directory that has one");
  write_file_atomically(folder / "tokenizer.model", "x");
  EXPECT_ERROR_SAYS(find_tokenizer_json(folder.path()), "its tokenizer.model must be converted first");
  write_file_atomically(folder / "tokenizer.json", "{}");
  EXPECT_EQ(find_tokenizer_json(folder.path()), folder / "tokenizer.json");
  EXPECT_EQ(find_tokenizer_json(folder / "tokenizer.json"), folder / "tokenizer.json");
}

TEST(TokenizerFilesTest, ALinkToNowhereIsNoMissingFile) {
  const TemporaryFolder folder;
  std::filesystem::create_symlink("nowhere", folder / "special_tokens_map.json");
  EXPECT_ERROR_SAYS(read_tokenizer_config(folder.path()), "special_tokens_map.json: is a link that cannot be opened");
  std::filesystem::remove(folder / "special_tokens_map.json");
  std::filesystem::create_symlink("nowhere", folder / "chat_template.jinja");
  EXPECT_ERROR_SAYS(read_chat_template_files(folder.path()), "chat_template.jinja: is a link that cannot be opened");
}

TEST(WrittenTokenizerConfigTest, IsReadBack) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "tokenizer_config.json",
                        tokenizer_config_json({.bos = "<s>", .eos = std::nullopt}, "<p>"));
  const TokenizerConfig config = read_tokenizer_config(folder.path());
  EXPECT_EQ(config.special_token("bos_token"), "<s>");
  EXPECT_EQ(config.special_token("eos_token"), std::nullopt);
  EXPECT_EQ(config.special_token("pad_token"), "<p>");
  EXPECT_TRUE(config.notes.empty());
}

}  // namespace
}  // namespace hici::text
