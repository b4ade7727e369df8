// SPDX-License-Identifier: Apache-2.0
#include "hici/base/sha256.h"

#include "hici/base/file.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <vector>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

namespace hici {
namespace {

constexpr std::array<uint32_t, 64> kRound = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

uint32_t load_big_endian(const unsigned char* p) {
  return uint32_t{p[0]} << 24 | uint32_t{p[1]} << 16 | uint32_t{p[2]} << 8 | uint32_t{p[3]};
}

void compress_block(std::array<uint32_t, 8>& state, const unsigned char* data) {
  std::array<uint32_t, 64> w;
  for (size_t i = 0; i < 16; ++i) w[i] = load_big_endian(data + 4 * i);
  for (size_t i = 16; i < 64; ++i) {
    const uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
    const uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
    w[i] = w[i - 16] + s0 + w[i - 7] + s1;
  }
  auto [a, b, c, d, e, f, g, h] = state;
  for (size_t i = 0; i < 64; ++i) {
    const uint32_t t1 =
        h + (std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25)) + ((e & f) ^ (~e & g)) + kRound[i] + w[i];
    const uint32_t t2 = (std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
    h = g, g = f, f = e;
    e = d + t1;
    d = c, c = b, b = a;
    a = t1 + t2;
  }
  const std::array<uint32_t, 8> worked = {a, b, c, d, e, f, g, h};
  for (size_t i = 0; i < 8; ++i) state[i] += worked[i];
}

void compress(std::array<uint32_t, 8>& state, const unsigned char* data, size_t num_blocks) {
  static const bool hardware = detail::has_sha256_instructions();
  if (hardware) {
    detail::sha256_blocks_hardware(state, data, num_blocks);
  } else {
    detail::sha256_blocks_portable(state, data, num_blocks);
  }
}

}  // namespace

namespace detail {

void sha256_blocks_portable(std::array<uint32_t, 8>& state, const unsigned char* data, size_t num_blocks) {
  for (size_t i = 0; i < num_blocks; ++i) compress_block(state, data + 64 * i);
}

#if defined(__x86_64__)

bool has_sha256_instructions() {
  unsigned a = 0, b = 0, c = 0, d = 0;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_SSE4_1) || !(c & bit_SSSE3)) return false;
  return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
}

// Intel's order of the state: ABEF in one register, CDGH in the other. Four rounds for each group of four words; the
// message schedule runs four groups ahead.
__attribute__((target("sha,sse4.1"))) void sha256_blocks_hardware(std::array<uint32_t, 8>& state,
                                                                  const unsigned char* data, size_t num_blocks) {
  const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
  const auto* from = reinterpret_cast<const __m128i*>(state.data());
  const __m128i cdab = _mm_shuffle_epi32(_mm_loadu_si128(from), 0xB1),
                efgh = _mm_shuffle_epi32(_mm_loadu_si128(from + 1), 0x1B);
  __m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xF0);
  for (size_t block = 0; block < num_blocks; ++block) {
    const __m128i abef_before = abef, cdgh_before = cdgh;
    __m128i w[4];
    for (int i = 0; i < 4; ++i)
      w[i] = _mm_shuffle_epi8(_mm_loadu_si128(reinterpret_cast<const __m128i*>(data + 64 * block) + i), swap);
    for (int group = 0; group < 16; ++group) {
      __m128i& current = w[group % 4];
      if (group >= 4) {
        const __m128i& last = w[(group + 3) % 4];
        const __m128i& before_last = w[(group + 2) % 4];
        const __m128i partial =
            _mm_add_epi32(_mm_sha256msg1_epu32(current, w[(group + 1) % 4]), _mm_alignr_epi8(last, before_last, 4));
        current = _mm_sha256msg2_epu32(partial, last);
      }
      const __m128i sum =
          _mm_add_epi32(current, _mm_loadu_si128(reinterpret_cast<const __m128i*>(kRound.data()) + group));
      cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
      abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0E));
    }
    abef = _mm_add_epi32(abef, abef_before);
    cdgh = _mm_add_epi32(cdgh, cdgh_before);
  }
  const __m128i feba = _mm_shuffle_epi32(abef, 0x1B), dchg = _mm_shuffle_epi32(cdgh, 0xB1);
  auto* to = reinterpret_cast<__m128i*>(state.data());
  _mm_storeu_si128(to, _mm_blend_epi16(feba, dchg, 0xF0));
  _mm_storeu_si128(to + 1, _mm_alignr_epi8(dchg, feba, 8));
}

#else

bool has_sha256_instructions() { return false; }

void sha256_blocks_hardware(std::array<uint32_t, 8>& state, const unsigned char* data, size_t num_blocks) {
  sha256_blocks_portable(state, data, num_blocks);
}

#endif

}  // namespace detail

Sha256::Sha256()
    : state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19} {}

void Sha256::update(const void* data, size_t num_bytes) {
  const auto* from = static_cast<const unsigned char*>(data);
  total_bytes_ += num_bytes;
  while (num_bytes > 0) {
    if (block_size_ == 0 && num_bytes >= 64) {
      compress(state_, from, num_bytes / 64);
      from += num_bytes / 64 * 64;
      num_bytes %= 64;
      continue;
    }
    const size_t taken = std::min(num_bytes, 64 - block_size_);
    std::memcpy(block_.data() + block_size_, from, taken);
    block_size_ = (block_size_ + taken) % 64;
    if (block_size_ == 0) compress(state_, block_.data(), 1);
    from += taken;
    num_bytes -= taken;
  }
}

std::string Sha256::hex_digest() {
  const uint64_t bits = total_bytes_ * 8;
  const std::array<unsigned char, 64> padding = {0x80};
  update(padding.data(), block_size_ < 56 ? 56 - block_size_ : 120 - block_size_);
  std::array<unsigned char, 8> length;
  for (size_t i = 0; i < 8; ++i) length[i] = static_cast<unsigned char>(bits >> (56 - 8 * i));
  update(length.data(), length.size());
  std::string hex;
  for (const uint32_t word : state_)
    for (int shift = 28; shift >= 0; shift -= 4) hex += "0123456789abcdef"[(word >> shift) & 15];
  return hex;
}

std::string sha256_hex(std::string_view bytes) {
  Sha256 hash;
  hash.update(bytes.data(), bytes.size());
  return hash.hex_digest();
}

std::string sha256_hex_of_file(const std::filesystem::path& path) {
  const MappedFile file(path);
  std::vector<char> piece(std::min<uint64_t>(file.size(), uint64_t{4} << 20));
  Sha256 hash;
  for (uint64_t at = 0; at < file.size(); at += piece.size()) {
    const auto num_bytes = static_cast<size_t>(std::min<uint64_t>(piece.size(), file.size() - at));
    file.copy(at, piece.data(), num_bytes);
    hash.update(piece.data(), num_bytes);
  }
  file.check_unchanged();
  return hash.hex_digest();
}

}  // namespace hici
