// SPDX-License-Identifier: Apache-2.0
// SHA-256 (FIPS 180-4), for the manifests of checkpoints and the hashes in reports. Own code rather than libcrypto: the
// binary must run on GPU machines that carry nothing but the torch wheel, and one hash is no reason for a dependency.
// Uses the processor's SHA instructions where it has them.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

namespace hici {

class Sha256 {
 public:
  Sha256();
  void update(const void* data, size_t num_bytes);
  // 64 lower-case hex digits of all bytes so far. The object is spent afterwards.
  std::string hex_digest();

 private:
  std::array<uint32_t, 8> state_;
  std::array<unsigned char, 64> block_{};
  size_t block_size_ = 0;
  uint64_t total_bytes_ = 0;
};

std::string sha256_hex(std::string_view bytes);
// Of a whole file, read in pieces.
std::string sha256_hex_of_file(const std::filesystem::path& path);

namespace detail {
// The two forms of the compression function over `num_blocks` blocks of 64 bytes; tests compare them.
void sha256_blocks_portable(std::array<uint32_t, 8>& state, const unsigned char* data, size_t num_blocks);
bool has_sha256_instructions();
void sha256_blocks_hardware(std::array<uint32_t, 8>& state, const unsigned char* data, size_t num_blocks);
}  // namespace detail

}  // namespace hici
