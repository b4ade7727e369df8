// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/rolling_windows.h"

#include "hici/base/file.h"
#include "hici/ops/linear_cross_entropy.h"
#include "support/temporary_folder.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <numeric>

namespace hici::eval {
namespace {

constexpr int64_t kPrefix = 999, kNone = ops::kIgnoredLabel;
using Rows = std::vector<std::vector<int64_t>>;

Rows rows_of(const at::Tensor& tensor) {
  Rows rows;
  for (int64_t i = 0; i < tensor.size(0); ++i) {
    const int64_t* row = tensor[i].const_data_ptr<int64_t>();
    rows.emplace_back(row, row + tensor.size(1));
  }
  return rows;
}

class RollingWindowsTest : public ::testing::Test {
 protected:
  // Documents of these lengths; the tokens count from 1.
  data::Documents documents(const std::vector<int64_t>& lengths) const {
    std::vector<int64_t> ends(lengths.size());
    std::partial_sum(lengths.begin(), lengths.end(), ends.begin());
    std::vector<uint16_t> ids(static_cast<size_t>(ends.back()));
    std::iota(ids.begin(), ids.end(), uint16_t{1});
    write_file_atomically(folder_ / "ids.bin", {reinterpret_cast<const char*>(ids.data()), ids.size() * 2});
    return {.tokens = data::TokenFile::open(folder_ / "ids.bin",
                                            {.vocab_size = 1000, .type = {{data::TokenType::kUint16, true}}}),
            .ends = ends,
            .prefix_token = kPrefix,
            .words = {},
            .bytes = {}};
  }

  testing::TemporaryFolder folder_;
};

// As get_rolling_token_windows() and make_disjoint_window() of lm-eval cut 8 tokens for max_length 3.
TEST_F(RollingWindowsTest, TheLastWindowIsMovedBackAndScoresWhatIsLeft) {
  const data::Documents all = documents({8});
  const RollingWindows windows(all, {.seq_len = 3, .batch_size = 9});
  ASSERT_EQ(windows.num_windows(), 3);
  EXPECT_EQ(windows.input_tokens(), 9);
  const RollingBatch batch = windows.read(0);
  EXPECT_EQ(rows_of(batch.tokens_BT), (Rows{{kPrefix, 1, 2}, {3, 4, 5}, {5, 6, 7}}));
  EXPECT_EQ(rows_of(batch.targets_BT), (Rows{{1, 2, 3}, {4, 5, 6}, {kNone, 7, 8}}));
  EXPECT_FALSE(batch.valid_BT.defined());
}

TEST_F(RollingWindowsTest, ADocumentOfWholeWindowsEndsWithOneThatIsScoredWhole) {
  const data::Documents all = documents({6});
  const RollingWindows windows(all, {.seq_len = 3, .batch_size = 9});
  EXPECT_EQ(rows_of(windows.read(0).tokens_BT), (Rows{{kPrefix, 1, 2}, {3, 4, 5}}));
  EXPECT_EQ(rows_of(windows.read(0).targets_BT), (Rows{{1, 2, 3}, {4, 5, 6}}));
}

TEST_F(RollingWindowsTest, DocumentsDoNotSeeEachOtherAndEmptyOnesHaveNoWindow) {
  const data::Documents all = documents({0, 2, 0, 0, 4, 1, 0});
  const RollingWindows windows(all, {.seq_len = 3, .batch_size = 2, .segment_length = 2});
  ASSERT_EQ(windows.num_windows(), 4);
  ASSERT_EQ(windows.num_batches(), 2);
  const RollingBatch first = windows.read(0), second = windows.read(1);
  EXPECT_EQ(rows_of(first.tokens_BT), (Rows{{kPrefix, 1, 0, 0}, {kPrefix, 3, 4, 0}}));
  EXPECT_EQ(rows_of(first.targets_BT), (Rows{{1, 2, kNone, kNone}, {3, 4, 5, kNone}}));
  EXPECT_EQ(first.lengths, (std::vector<int64_t>{2, 4}));
  EXPECT_TRUE(first.valid_BT.equal(at::tensor({1, 1, 0, 0, 1, 1, 1, 0}).reshape({2, 4}).to(at::kBool)));
  EXPECT_EQ(rows_of(second.tokens_BT), (Rows{{3, 4, 5, 0}, {kPrefix, 0, 0, 0}}));
  EXPECT_EQ(rows_of(second.targets_BT), (Rows{{kNone, kNone, 6, kNone}, {7, kNone, kNone, kNone}}));
  EXPECT_EQ(windows.described(1), "windows 2 to 3 (from token 3)");
}

// Sums over what is scored are over every token once.
TEST_F(RollingWindowsTest, EveryTokenIsATargetOnce) {
  for (const int64_t seq_len : {1, 2, 5, 7, 100}) {
    const data::Documents all = documents({1, 13, 7, 28, 0, 6});
    const RollingWindows windows(all, {.seq_len = seq_len, .batch_size = 3});
    std::vector<int64_t> targets;
    for (int64_t batch = 0; batch < windows.num_batches(); ++batch) {
      for (const auto& row : rows_of(windows.read(batch).targets_BT))
        std::copy_if(row.begin(), row.end(), std::back_inserter(targets), [](int64_t id) { return id != kNone; });
    }
    std::vector<int64_t> wanted(55);
    std::iota(wanted.begin(), wanted.end(), 1);
    EXPECT_EQ(targets, wanted) << seq_len;
  }
}

}  // namespace
}  // namespace hici::eval
