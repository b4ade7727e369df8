// SPDX-License-Identifier: Apache-2.0
// Expected digests: the examples of FIPS 180-4 and, for the lengths around a block, Python's hashlib.
#include "hici/base/sha256.h"

#include "hici/base/file.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <vector>

namespace hici {
namespace {

std::string counted_bytes(size_t n) {
  std::string out(n, '\0');
  for (size_t i = 0; i < n; ++i) out[i] = static_cast<char>(i * 7 % 251);
  return out;
}

TEST(Sha256Test, MatchesTheStandardsExamples) {
  EXPECT_EQ(sha256_hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(sha256_hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"),
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  EXPECT_EQ(sha256_hex(std::string(1'000'000, 'a')),
            "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256Test, MatchesHashlibAroundTheBlockSize) {
  EXPECT_EQ(sha256_hex(counted_bytes(55)), "8af594de0e003fdee5c8bb088216c824349b4137070f559574f4a4bddd27b714");
  EXPECT_EQ(sha256_hex(counted_bytes(56)), "db81bc2bfd43620591df192139062da77d4c376f1888ea3d2190bd07c8d901f9");
  EXPECT_EQ(sha256_hex(counted_bytes(63)), "bd535b38bf0d0d1a09d370b7e34b2696cea3767801a45d5611a4aaa6954e8527");
  EXPECT_EQ(sha256_hex(counted_bytes(64)), "292be91abe8c0909fe3d26575af5755eee74d23816dc68c3ba41765136967654");
  EXPECT_EQ(sha256_hex(counted_bytes(65)), "ba65aedf7884642499a59ae124894611d986cf429e69f569488048af3a99e25a");
  EXPECT_EQ(sha256_hex(counted_bytes(119)), "d367ab298e74477421127b0b448667c37c006c636f5738f081c39388756e5fad");
  EXPECT_EQ(sha256_hex(counted_bytes(120)), "be7beb9c82089eb08da8fe6eb30c13b9d56869014e228a8c3eb0fdfe832efab2");
  EXPECT_EQ(sha256_hex(counted_bytes(128)), "cb5311e1d7aa8e11d6af7081f3ffc3e4efa008c7483a1a791fe170bf37546ba7");
}

TEST(Sha256Test, PiecesGiveTheDigestOfTheWhole) {
  const std::string text = counted_bytes(1000);
  for (const size_t piece : {1, 3, 63, 64, 65, 200}) {
    Sha256 hash;
    for (size_t at = 0; at < text.size(); at += piece) hash.update(text.data() + at, std::min(piece, text.size() - at));
    EXPECT_EQ(hash.hex_digest(), sha256_hex(text)) << piece;
  }
}

TEST(Sha256Test, BothFormsOfTheCompressionAgree) {
  if (!detail::has_sha256_instructions()) GTEST_SKIP() << "this processor has no SHA instructions";
  const std::string text = counted_bytes(64 * 33);
  std::array<uint32_t, 8> portable = {1, 2, 3, 4, 5, 6, 7, 0xffffffff}, hardware = portable;
  detail::sha256_blocks_portable(portable, reinterpret_cast<const unsigned char*>(text.data()), 33);
  detail::sha256_blocks_hardware(hardware, reinterpret_cast<const unsigned char*>(text.data()), 33);
  EXPECT_EQ(portable, hardware);
}

TEST(Sha256Test, HashesAFileInPieces) {
  const testing::TemporaryFolder folder;
  const std::string text = counted_bytes((4U << 20) + 17);
  write_file_atomically(folder / "f", text);
  EXPECT_EQ(sha256_hex_of_file(folder / "f"), sha256_hex(text));
  EXPECT_ERROR_SAYS(sha256_hex_of_file(folder / "none"), "none: cannot open");
}

}  // namespace
}  // namespace hici
