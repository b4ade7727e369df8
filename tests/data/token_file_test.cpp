// SPDX-License-Identifier: Apache-2.0
#include "hici/data/token_file.h"

#include "hici/base/error.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <numeric>

namespace hici::data {
namespace {

class TokenFileTest : public ::testing::Test {
 protected:
  std::filesystem::path path(const std::string& name = "t.bin") const { return folder_ / name; }

  template <typename Id>
  std::filesystem::path raw(const std::vector<Id>& ids, const std::string& name = "t.bin") const {
    std::ofstream(path(name), std::ios::binary)
        .write(reinterpret_cast<const char*>(ids.data()), static_cast<std::streamsize>(ids.size() * sizeof(Id)));
    return path(name);
  }

  std::filesystem::path written(const std::vector<uint32_t>& ids, TokenType type) const {
    TokenFileWriter writer(path(), type);
    writer.write(ids);
    TokenFileInfo info;
    info.vocab_size = 1000;
    info.num_documents = 2;
    info.tokenizer_path = "model/tokenizer.json";
    info.sources = {"a.txt", "b\xff.txt"};
    writer.commit(info);
    return path();
  }

  hici::testing::TemporaryFolder folder_;
};

TokenFile open(const std::filesystem::path& path, const TokenFileOptions& options) {
  return TokenFile::open(path, options);
}

#define EXPECT_HAS(message, part) EXPECT_NE(std::string(message).find(part), std::string::npos) << (message)

TEST_F(TokenFileTest, ReadsBlocksOfEitherTypeAsInt64) {
  std::vector<uint32_t> ids(1000);
  std::iota(ids.begin(), ids.end(), 0u);
  for (const TokenType type : {TokenType::kUint16, TokenType::kUint32}) {
    const TokenFile file = TokenFile::open(written(ids, type), {.vocab_size = 1000});
    EXPECT_EQ(file.size(), 1000);
    EXPECT_EQ(file.type(), type);
    EXPECT_EQ(file.read(7, 3), (std::vector<int64_t>{7, 8, 9}));
    EXPECT_EQ(file.read(999, 1), (std::vector<int64_t>{999}));
    EXPECT_TRUE(file.read(1000, 0).empty());
    EXPECT_EQ(file.largest_id(), 999);
    EXPECT_EQ(file.info()->num_documents, 2);
    EXPECT_EQ(file.info()->sources.size(), 2u);
    EXPECT_EQ(file.sha256(), sha256_hex_of_file(path()));
    EXPECT_EQ(file.sha256(), file.info()->sha256);
    EXPECT_THROW(file.read(999, 2), InternalError);
  }
}

TEST_F(TokenFileTest, TypeFollowsOptionThenSidecarThenVocabulary) {
  const std::vector<uint16_t> ids = {1, 2, 3, 4};
  EXPECT_EQ(TokenFile::open(raw(ids), {.vocab_size = 65536}).type(), TokenType::kUint16);
  EXPECT_EQ(TokenFile::open(raw(std::vector<uint32_t>{1, 70000}), {.vocab_size = 70001}).type(), TokenType::kUint32);
  EXPECT_EQ(TokenFile::open(raw(ids), {.type = TokenType::kUint16}).size(), 4);
  EXPECT_ERROR_SAYS(open(raw(ids), {}), "give `token_type` uint16 or uint32");
  // A tokenizer of few words used with a model of many: the sidecar decides.
  EXPECT_EQ(TokenFile::open(written({1, 2, 3}, TokenType::kUint16), {.vocab_size = 128256}).type(), TokenType::kUint16);
  written({1, 2, 3, 4}, TokenType::kUint16);
  EXPECT_ERROR_SAYS(open(path(), {.vocab_size = 1000, .type = TokenType::kUint32}), "leave out `token_type`");
}

TEST_F(TokenFileTest, NamesAUint16FileReadAsUint32) {
  std::vector<uint16_t> ids(5000);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<uint16_t>(i * 7 % 32000);
  EXPECT_ERROR_SAYS(open(raw(ids), {.vocab_size = 128256}),
                    "looks like a uint16 file read as uint32: give `token_type` uint16");
}

TEST_F(TokenFileTest, NamesAUint32FileReadAsUint16) {
  std::vector<uint32_t> ids(5000);
  for (size_t i = 0; i < ids.size(); ++i) ids[i] = static_cast<uint32_t>(i * 7 % 32000);
  EXPECT_ERROR_SAYS(open(raw(ids), {.vocab_size = 32000}), "looks like a uint32 file: give `token_type` uint32");
  EXPECT_EQ(TokenFile::open(raw(std::vector<uint16_t>(100, 0)), {.vocab_size = 32000}).size(), 100)
      << "padding alone is no sign of a wrong type";
}

TEST_F(TokenFileTest, NamesTheFirstIdBeyondTheVocabulary) {
  std::vector<uint16_t> ids(3000000, 5);
  ids[2500001] = 777;
  ids[2600000] = 900;
  EXPECT_ERROR_SAYS(open(raw(ids), {.vocab_size = 700}),
                    "token 2500001 is 777, beyond the vocabulary of 700; it was made with another tokenizer");
}

TEST_F(TokenFileTest, RefusesWhatIsNoTokenFile) {
  EXPECT_ERROR_SAYS(open(path("none.bin"), {.vocab_size = 9}), "none.bin: cannot open");
  EXPECT_ERROR_SAYS(open(folder_.path(), {.vocab_size = 9}), "is a directory");
  EXPECT_ERROR_SAYS(open(raw(std::vector<char>{}), {.vocab_size = 9}), "is empty");
  EXPECT_ERROR_SAYS(open(raw(std::vector<char>{'a', 'b', 'c'}), {.vocab_size = 9}),
                    "3 bytes is no whole number of uint16 tokens");
}

// Two letters are an id of most vocabularies: such a file was evaluated without a word.
TEST_F(TokenFileTest, TextIsNotTakenForTokens) {
  for (const char* name : {"a.txt", "a.jsonl", "a.json", "a.txt.gz", "a.jsonl.zst"}) {
    const std::filesystem::path text = raw(std::vector<char>{'a', ' ', 'b', 'c'}, name);
    EXPECT_ERROR_SAYS(open(text, {.vocab_size = 32000}), "is text by its name, expected token ids");
    EXPECT_EQ(open(text, {.vocab_size = 32000, .type = TokenType::kUint16}).size(), 2) << "as the user says";
  }
}

TEST_F(TokenFileTest, NamesWhatTheBytesShow) {
  const auto of_bytes = [&](const std::string& bytes) { return raw(std::vector<char>(bytes.begin(), bytes.end())); };
  const std::string text = "the tide rises twice a day, and the sea with it";
  const auto refused = [&](const std::string& bytes, const TokenFileOptions& options) {
    return hici::testing::error_message([&] { open(of_bytes(bytes), options); });
  };
  EXPECT_HAS(refused(text + ".", {.vocab_size = 32000}), "is text by its bytes, expected token ids; 'hici tokenize");
  EXPECT_HAS(refused(text + ".", {.type = TokenType::kUint16}), "is text by its bytes");
  EXPECT_EQ(open(of_bytes(text + "."), {.type = TokenTypeChoice(TokenType::kUint16, /*forced=*/true)}).size(), 24);
  EXPECT_HAS(refused("PAR1" + text + ".PAR1.", {.vocab_size = 32000}), "is Parquet by its bytes");
  EXPECT_HAS(refused("PK\x03\x04" + std::string(40, '\0'), {.vocab_size = 32000}), "is a zip archive");
  EXPECT_HAS(refused("\x93NUMPY\x01" + std::string(41, '\0'), {.vocab_size = 70000}), "astype(\"uint32\")");
}

TEST_F(TokenFileTest, NamesIdsOfOtherWidths) {
  std::vector<uint64_t> wide(100);
  for (size_t i = 0; i < wide.size(); ++i) wide[i] = i * 1501 % 128000;
  for (const int64_t vocab_size : {32000, 128256}) {
    EXPECT_ERROR_SAYS(open(raw(wide), {.vocab_size = vocab_size}), "looks like ids of 64 bits");
  }
  std::vector<uint32_t> ids(wide.begin(), wide.end());
  EXPECT_ERROR_SAYS(open(raw(ids), {.vocab_size = 65536}), "looks like a uint32 file: give `token_type` uint32");
  // Ids of a small vocabulary are not that, and noise of 32 bits is no uint16 file.
  std::vector<uint16_t> few(1000);
  for (size_t i = 0; i < few.size(); ++i) few[i] = static_cast<uint16_t>(i * i % 13);
  EXPECT_EQ(open(raw(few), {.vocab_size = 13}).size(), 1000);
  std::vector<uint32_t> noise(1000);
  for (size_t i = 0; i < noise.size(); ++i) noise[i] = static_cast<uint32_t>((i + 1) * 2654435761U);
  EXPECT_HAS(hici::testing::error_message([&] { open(raw(noise), {.vocab_size = 128256}); }), "or it is no token file");
}

TEST_F(TokenFileTest, NoticesAFileThatDisagreesWithItsSidecar) {
  written({1, 2, 3, 4}, TokenType::kUint16);
  raw(std::vector<uint16_t>{1, 2, 3});
  EXPECT_ERROR_SAYS(open(path(), {.vocab_size = 1000}), "holds 3 tokens, " + path().string() + ".json says 4");
  raw(std::vector<uint16_t>{1, 2, 3, 5});
  const TokenFile file = TokenFile::open(path(), {.vocab_size = 1000});
  EXPECT_ERROR_SAYS(file.sha256(), "SHA-256 differ");
}

TEST_F(TokenFileTest, AFileThatShrinksIsAnError) {
  const TokenFile file = TokenFile::open(raw(std::vector<uint16_t>(100000, 3)), {.vocab_size = 10});
  std::filesystem::resize_file(path(), 10);
  EXPECT_ERROR_SAYS(file.read(50000, 1000), "cut short");
}

TEST_F(TokenFileTest, NothingAppearsWithoutCommit) {
  {
    TokenFileWriter writer(path(), TokenType::kUint16);
    writer.write(std::vector<uint32_t>{1, 2});
    EXPECT_FALSE(std::filesystem::exists(path()));
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder_.path()));
}

TEST_F(TokenFileTest, AnIdTooLargeForTheTypeIsAnError) {
  TokenFileWriter writer(path(), TokenType::kUint16);
  const std::vector<uint32_t> ids = {1, 65536};
  EXPECT_ERROR_SAYS(writer.write(ids), "token id 65536 does not fit uint16");
}

TEST(TokenSidecarTest, HostileTextIsAnErrorThatNamesTheFile) {
  const std::string good =
      sidecar_to_json({.vocab_size = 10, .num_tokens = 4, .num_documents = 1, .sha256 = std::string(64, 'a')});
  EXPECT_EQ(sidecar_from_json(good, "x.json").num_tokens, 4);
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return hici::testing::error_message([&] { sidecar_from_json(text, "x.json"); });
  };
  EXPECT_HAS(changed("hici-token-file", "other"), "x.json: format is \"other\"");
  EXPECT_HAS(changed("\"version\": 1", "\"version\": 99"), "newer than this hici knows");
  EXPECT_HAS(changed("uint16", "float"), "unknown token type 'float'; use uint16 or uint32");
  // Both came out as they are, in two lines.
  EXPECT_HAS(changed("hici-token-file", "a\\nb"), R"(x.json: format is "a\nb")");
  EXPECT_HAS(changed("uint16", "a\\nb"), "unknown token type 'a?b'");
  EXPECT_HAS(changed("\"tokens\": 4", "\"tokens\": -4"), "x.json");
  EXPECT_HAS(changed("\"tokens\": 4", "\"tokens\": 4.5"), "x.json");
  EXPECT_HAS(changed("\"tokens\": 4", "\"tokens\": 1e400"), "x.json");
  EXPECT_HAS(changed(std::string(64, 'a'), "../etc"), "x.json: sha256");
  EXPECT_HAS(changed("\"sources\": []", "\"sources\": [[]]"), "x.json");
  for (size_t size = 0; size + 2 < good.size(); ++size) {
    EXPECT_THROW(sidecar_from_json(good.substr(0, size), "x.json"), Error) << size;
  }
}

}  // namespace
}  // namespace hici::data
