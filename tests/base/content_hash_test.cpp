// SPDX-License-Identifier: Apache-2.0
#include "hici/base/content_hash.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace hici {
namespace {

std::string hash_in_pieces(const std::string& text, size_t piece) {
  ContentHash hash;
  for (size_t at = 0; at < text.size(); at += piece) hash.update(text.data() + at, std::min(piece, text.size() - at));
  return hash.hex_digest();
}

// `printf '' | xxhsum -H2`, `printf 'hici' | xxhsum -H2`
TEST(ContentHashTest, IsXxh3Of128Bits) {
  EXPECT_EQ(ContentHash().hex_digest(), "99aa06d3014798d86001c324468d497f");
  EXPECT_EQ(hash_in_pieces("hici", 4), "96d59be3cb41c4a8fedb2a28a57b2c48");
}

TEST(ContentHashTest, DoesNotDependOnThePieces) {
  std::string text;
  for (int i = 0; i < 5000; ++i) text += static_cast<char>(i * 31 + i / 256);
  const std::string whole = hash_in_pieces(text, text.size());
  for (const size_t piece : {size_t{1}, size_t{7}, size_t{64}, size_t{1024}, size_t{4999}})
    EXPECT_EQ(hash_in_pieces(text, piece), whole) << piece;
}

TEST(ContentHashTest, EveryFlippedBitShows) {
  const std::string text(300, 'x');
  const std::string whole = hash_in_pieces(text, text.size());
  for (size_t at = 0; at < text.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = text;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      EXPECT_NE(hash_in_pieces(damaged, damaged.size()), whole);
    }
  }
}

}  // namespace
}  // namespace hici
