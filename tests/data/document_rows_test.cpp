// SPDX-License-Identifier: Apache-2.0
#include "hici/data/document_rows.h"

#include "hici/base/error.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <ATen/ATen.h>

#include <gtest/gtest.h>

namespace hici::data {
namespace {

constexpr int64_t kBos = 1, kEos = 2;

TokenFile file_of(const std::filesystem::path& path, const std::vector<uint32_t>& ids) {
  TokenFileWriter writer(path, TokenType::kUint16);
  writer.write(ids);
  writer.commit({.vocab_size = 1000, .sources = {"test"}});
  return TokenFile::open(path, {.vocab_size = 1000});
}

TEST(DocumentRowsTest, DocumentsEndWithEosOrBeginWithBos) {
  const testing::TemporaryFolder folder;
  const std::vector<std::vector<uint32_t>> same{
      {5, 6, 2, 7, 8, 2, 9, 9, 9}, {1, 5, 6, 1, 7, 8, 1, 9, 9}, {1, 5, 2, 1, 7, 2, 1, 9, 2}};
  for (const std::vector<uint32_t>& ids : same) {
    const TokenFile file = file_of(folder.path() / "t.bin", ids);
    const DocumentRows rows(file, {{kEos}, {kBos}}, {4, 0}, "`packing`");
    EXPECT_EQ(rows.num_documents(), 3);
    EXPECT_EQ(rows.num_samples(), 3);
    std::vector<int64_t> first(ids.begin(), ids.begin() + 3);
    const TokenBatch batch = rows.batch({0});
    EXPECT_TRUE(at::equal(batch.tokens_BT, at::tensor(first, at::kLong).view({1, 3})));
    EXPECT_TRUE(at::equal(batch.labels_BT, at::tensor({first[1], first[2], int64_t{-100}}, at::kLong).view({1, 3})));
    EXPECT_EQ(batch.num_targets, 2);
  }
}

TEST(DocumentRowsTest, RowsHoldWholeDocumentsInWholeSegmentsAndLongOnesAreCut) {
  const testing::TemporaryFolder folder;
  // Documents of 3, 11 (cut into 8 and 3), 1 (left out) and 2 tokens.
  const TokenFile file =
      file_of(folder.path() / "t.bin", {1, 11, 12, 1, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 1, 1, 41});
  const DocumentRows rows(file, {{}, {kBos}}, {8, 4}, "`packing`");
  EXPECT_EQ(rows.num_documents(), 4);
  EXPECT_EQ(rows.num_cut(), 1);
  EXPECT_EQ(rows.num_tokens(), 16);
  ASSERT_EQ(rows.num_samples(), 3);
  const TokenBatch batch = rows.batch({0, 1, 2});
  EXPECT_EQ(batch.sequences, (SequenceLengths{{4, 4}, {8}, {4}}));
  const at::Tensor expected = at::tensor({1, 11, 12, 0,  28, 29, 30, 0,   //
                                          1, 21, 22, 23, 24, 25, 26, 27,  //
                                          1, 41, 0,  0,  0,  0,  0,  0},
                                         at::kLong);
  EXPECT_TRUE(at::equal(batch.tokens_BT.view({-1}), expected));
  EXPECT_TRUE(at::equal(batch.valid_BT.view({-1}), expected.ne(0)));
  EXPECT_EQ(batch.labels_BT.view({-1}).slice(0, 0, 8).ne(-100).sum().item<int64_t>(), 4);
  EXPECT_EQ(batch.num_targets, 2 + 2 + 7 + 1);
}

TEST(DocumentRowsTest, AFileWithoutMarksIsAnErrorUnlessItIsOneShortDocument) {
  const testing::TemporaryFolder folder;
  const TokenFile file = file_of(folder.path() / "t.bin", {5, 6, 7, 8, 9});
  EXPECT_EQ(DocumentRows(file, {{kEos}, {kBos}}, {5, 0}, "`packing`").num_samples(), 1);
  EXPECT_NE(testing::error_message([&] {
              DocumentRows(file, {{kEos}, {kBos}}, {4, 0}, "`packing`");
            }).find("t.bin: has no BOS and no EOS of the model between its documents, and `packing` document must"),
            std::string::npos);
}

}  // namespace
}  // namespace hici::data
