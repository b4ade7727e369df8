// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/cached_attention.h"

#include "support/gradcheck.h"

#include <gtest/gtest.h>

namespace hici::ops {
namespace {

using testing::randn64;

// float64, sums in other orders
constexpr double kTolerance = 1e-12;

// Softmax of a query [H, D] over keys and values [K, J, D], head by head.
at::Tensor plain_attention(const at::Tensor& q_HD, const at::Tensor& k_KJD, const at::Tensor& v_KJD) {
  std::vector<at::Tensor> heads;
  const int64_t group = q_HD.size(0) / k_KJD.size(1);
  for (int64_t h = 0; h < q_HD.size(0); ++h) {
    const at::Tensor k_KD = k_KJD.select(1, h / group), v_KD = v_KJD.select(1, h / group);
    const at::Tensor weight = at::softmax(at::mv(k_KD, q_HD[h]) / std::sqrt(static_cast<double>(q_HD.size(1))), 0);
    heads.push_back(at::mv(v_KD.t(), weight));
  }
  return at::stack(heads);
}

TEST(AttendChunkTest, EachTokenSeesTheRowsUpToItsOwnWithEveryBackend) {
  at::manual_seed(5);
  for (const auto& [before, length] : {std::pair<int64_t, int64_t>{0, 7}, {1, 7}, {40, 7}, {9, 1}}) {
    for (const AttentionBackend backend :
         {AttentionBackend::kAuto, AttentionBackend::kFlash, AttentionBackend::kMath}) {
      SCOPED_TRACE(::testing::Message() << before << " rows before " << length << ", " << name_of(backend));
      const at::Tensor q = randn64({2, length, 4, 8}), k = randn64({2, before + length, 2, 8}), v = randn64(k.sizes());
      const at::Tensor out = prefill_attention(q, k, v, backend);
      ASSERT_EQ(out.sizes(), q.sizes());
      for (int64_t b = 0; b < 2; ++b) {
        for (int64_t i = 0; i < length; ++i) {
          const int64_t seen = before + i + 1;
          EXPECT_LT(testing::max_difference(out[b][i],
                                            plain_attention(q[b][i], k[b].narrow(0, 0, seen), v[b].narrow(0, 0, seen))),
                    kTolerance);
        }
      }
    }
  }
}

TEST(AttendCacheTest, EachSequenceSeesAsManyRowsAsItHas) {
  at::manual_seed(6);
  for (const int64_t kv_heads : {1, 2, 6}) {
    const at::Tensor q = randn64({3, 6, 8}), k = randn64({3, 20, kv_heads, 8}), v = randn64(k.sizes());
    const std::vector<int64_t> lengths{1, 20, 11};
    const at::Tensor out = decode_attention(q, k, v, at::tensor(lengths, at::kLong));
    for (int64_t b = 0; b < 3; ++b) {
      const int64_t seen = lengths[static_cast<size_t>(b)];
      EXPECT_LT(
          testing::max_difference(out[b], plain_attention(q[b], k[b].narrow(0, 0, seen), v[b].narrow(0, 0, seen))),
          kTolerance)
          << kv_heads << " heads, sequence " << b;
    }
  }
}

TEST(AttendCacheTest, RowsInFrontCanBeLeftOutByAView) {
  at::manual_seed(7);
  const at::Tensor q = randn64({2, 4, 8}), k = randn64({2, 12, 2, 8}), v = randn64(k.sizes());
  const at::Tensor lengths = at::tensor({4, 9}, at::kLong);
  auto behind = [](const at::Tensor& t) { return t.narrow(1, 3, 9); };
  EXPECT_LT(testing::max_difference(decode_attention(q, behind(k), behind(v), lengths),
                                    decode_attention(q, behind(k).contiguous(), behind(v).contiguous(), lengths)),
            kTolerance);
}

}  // namespace
}  // namespace hici::ops
