// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/dual_chunk_attention.h"

#include "hici/base/error.h"
#include "hici/ops/cached_attention.h"
#include "hici/ops/partial_attention.h"
#include "support/counted_memory.h"
#include "support/gradcheck.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace hici::ops {
namespace {

using testing::randn64;

// float64, sums in other orders
constexpr double kDcaTolerance = 1e-12;

// Which of R rotated queries reads key `key`, for a query at `position`.
int64_t reader_of(int64_t position, int64_t key, int64_t chunk_len) {
  return std::min<int64_t>(2, position / chunk_len - key / chunk_len);
}

// One query at `position` of a sequence, q_3HD, over the keys up to its own, head by head and key by key.
at::Tensor plain_attention(const at::Tensor& q_3HD, const at::Tensor& k_KJD, const at::Tensor& v_KJD, int64_t position,
                           int64_t chunk_len) {
  const int64_t heads = q_3HD.size(1), group = heads / k_KJD.size(1), width = q_3HD.size(2);
  std::vector<at::Tensor> out;
  for (int64_t h = 0; h < heads; ++h) {
    const at::Tensor k_KD = k_KJD.select(1, h / group), v_KD = v_KJD.select(1, h / group);
    std::vector<at::Tensor> scores;
    for (int64_t key = 0; key <= position; ++key)
      scores.push_back(at::dot(q_3HD[reader_of(position, key, chunk_len)][h], k_KD[key]));
    const at::Tensor weight = at::softmax(at::stack(scores) / std::sqrt(static_cast<double>(width)), 0);
    out.push_back(at::mv(v_KD.narrow(0, 0, position + 1).t(), weight));
  }
  return at::stack(out);
}

TEST(AttentionPartsTest, BothBackendsGiveTheSamePartsAndJoinedTheyAreTheWhole) {
  at::manual_seed(3);
  for (const bool is_causal : {false, true}) {
    const at::Tensor q = randn64({2, 7, 6, 8}), k = randn64({2, 19, 2, 8}), v = randn64(k.sizes());
    const PartialAttention math = partial_attention(q, k, v, is_causal, AttentionBackend::kMath);
    const PartialAttention flash = partial_attention(q, k, v, is_causal, AttentionBackend::kFlash);
    EXPECT_LT(testing::max_difference(math.out_BSHD, flash.out_BSHD), kDcaTolerance) << is_causal;
    EXPECT_LT(testing::max_difference(math.lse_BHS, flash.lse_BHS), kDcaTolerance) << is_causal;
    const PartialAttention first =
        partial_attention(q, k.narrow(1, 0, 5), v.narrow(1, 0, 5), false, AttentionBackend::kMath);
    const PartialAttention rest =
        partial_attention(q, k.narrow(1, 5, 14), v.narrow(1, 5, 14), is_causal, AttentionBackend::kMath);
    const PartialAttention joined = merge_partials(first, rest);
    EXPECT_LT(testing::max_difference(joined.out_BSHD, math.out_BSHD), kDcaTolerance) << is_causal;
    EXPECT_LT(testing::max_difference(joined.lse_BHS, math.lse_BHS), kDcaTolerance) << is_causal;
  }
}

// More scores than a block holds: two blocks of queries.
TEST(AttentionPartsTest, BlocksOfQueriesWithTheBackendMathChangeNothing) {
  at::manual_seed(4);
  const at::Tensor q = randn64({1, 540, 64, 2}), k = randn64({1, 550, 32, 2}), v = randn64(k.sizes());
  const PartialAttention math = partial_attention(q, k, v, /*is_causal=*/true, AttentionBackend::kMath);
  const PartialAttention flash = partial_attention(q, k, v, /*is_causal=*/true, AttentionBackend::kFlash);
  EXPECT_LT(testing::max_difference(math.out_BSHD, flash.out_BSHD), kDcaTolerance);
  EXPECT_LT(testing::max_difference(math.lse_BHS, flash.lse_BHS), kDcaTolerance);
}

// Lengths below, at and above the ends of chunks, from the beginning and behind rows of a cache.
TEST(DualChunkAttentionTest, EveryQueryReadsEachKeyAsItsDistanceSays) {
  at::manual_seed(5);
  constexpr int64_t kChunk = 4;
  for (const int64_t rows : {1, 3, 4, 5, 8, 9, 12, 13, 18}) {
    for (const int64_t before : {int64_t{0}, rows / 2, rows - 1}) {
      for (const AttentionBackend backend : {AttentionBackend::kAuto, AttentionBackend::kMath}) {
        SCOPED_TRACE(::testing::Message() << rows << " rows, " << before << " before");
        const at::Tensor q = randn64({3, 2, rows - before, 4, 8}), k = randn64({2, rows, 2, 8}), v = randn64(k.sizes());
        const at::Tensor out = dual_chunk_attention(q, k, v, kChunk, backend);
        for (int64_t b = 0; b < 2; ++b) {
          for (int64_t i = 0; i < rows - before; ++i) {
            const at::Tensor q_3HD = q.select(1, b).select(1, i);
            EXPECT_LT(testing::max_difference(out[b][i], plain_attention(q_3HD, k[b], v[b], before + i, kChunk)),
                      kDcaTolerance);
          }
        }
      }
    }
  }
}

TEST(DualChunkAttentionTest, DecodingReadsTheRowsOfEachSequenceAsTheirDistanceSays) {
  at::manual_seed(6);
  const std::vector<int64_t> lengths{1, 4, 5, 8, 9, 12, 13, 20};
  const auto batch = static_cast<int64_t>(lengths.size());
  for (const int64_t chunk_len : {1, 4, 7, 20, 64}) {
    const at::Tensor q = randn64({3, batch, 6, 8}), k = randn64({batch, 20, 2, 8}), v = randn64(k.sizes());
    const at::Tensor out = decode_dual_chunk_attention(q, k, v, at::tensor(lengths, at::kLong), chunk_len);
    for (int64_t b = 0; b < batch; ++b) {
      const int64_t position = lengths[static_cast<size_t>(b)] - 1;
      EXPECT_LT(testing::max_difference(out[b], plain_attention(q.select(1, b), k[b], v[b], position, chunk_len)),
                kDcaTolerance)
          << "chunks of " << chunk_len << ", sequence " << b;
    }
  }
}

TEST(DualChunkAttentionTest, MemoryGrowsAsTheSequenceDoes) {
  auto peak_of = [](int64_t length) {
    const at::Tensor q = at::ones({3, 1, length, 2, 8}), k = at::ones({1, length, 2, 8});
    const hici::testing::CountedMemory memory;
    dual_chunk_attention(q, k, k, 256, AttentionBackend::kAuto);
    return memory.peak();
  };
  const int64_t peak = peak_of(4096);
  EXPECT_GT(peak, 4096 * 2 * 8 * 4);    // at least the output
  EXPECT_LT(peak, 256 * 4096 * 2 * 4);  // and less than the scores of the last chunk; the kernel has a buffer a thread
  EXPECT_LT(peak_of(16384), 4 * peak + 1);
}

TEST(DualChunkAttentionTest, ItHasNoBackwardAndSaysSo) {
  const at::Tensor q = randn64({3, 1, 4, 2, 8}).requires_grad_(), k = randn64({1, 4, 2, 8});
  EXPECT_THROW(dual_chunk_attention(q, k, k, 2, AttentionBackend::kAuto), InternalError);
  const at::NoGradGuard no_grad;
  EXPECT_NO_THROW(dual_chunk_attention(q, k, k, 2, AttentionBackend::kAuto));
}

// Angles in one row: cosine 1 and sine 0 at position 0, so that the tables tell the positions.
TEST(DualChunkTablesTest, PositionsAreBoundedByTheSizeOfAChunk) {
  const RotaryFrequencies frequencies = make_rotary_frequencies({0.01}, 1.0, at::kCPU);
  const DualChunkTables tables = make_dual_chunk_tables(frequencies, {.chunk_len = 10, .chunk_size = 13},
                                                        at::tensor({0, 5, 9, 10, 27}, at::kLong), at::kDouble);
  auto positions = [](const RotaryTables& t) { return at::atan2(t.sin, t.cos).flatten() * 100; };
  auto expected = [](std::vector<double> values) { return at::tensor(values, at::kDouble); };
  EXPECT_LT(testing::max_difference(positions(tables.own), expected({0, 5, 9, 0, 7})), kDcaTolerance);
  EXPECT_LT(testing::max_difference(positions(tables.before), expected({10, 13, 13, 10, 13})), kDcaTolerance);
  EXPECT_LT(testing::max_difference(positions(tables.far), expected({13})), kDcaTolerance);
  const DualChunkTables larger = make_dual_chunk_tables(frequencies, {.chunk_len = 5, .chunk_size = 13, .magnitude = 2},
                                                        at::tensor({7}, at::kLong), at::kDouble);
  EXPECT_LT(testing::max_difference(positions(larger.far), expected({9})), kDcaTolerance);  // 2 * 5 - 1
  EXPECT_LT(testing::max_difference(larger.own.cos.square() + larger.own.sin.square(), expected({4})), kDcaTolerance);
}

}  // namespace
}  // namespace hici::ops
