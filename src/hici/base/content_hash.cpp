// SPDX-License-Identifier: Apache-2.0
#include "hici/base/content_hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

namespace hici {

struct ContentHash::State {
  XXH3_state_t xxh3;  // aligned to 64 bytes by its own declaration
};

ContentHash::ContentHash() : state_(std::make_unique<State>()) { XXH3_128bits_reset(&state_->xxh3); }

ContentHash::~ContentHash() = default;

void ContentHash::update(const void* data, size_t num_bytes) {
  if (num_bytes > 0) XXH3_128bits_update(&state_->xxh3, data, num_bytes);
}

std::string ContentHash::hex_digest() const {
  XXH128_canonical_t canonical;
  XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&state_->xxh3));
  std::string hex;
  for (const unsigned char byte : canonical.digest) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  return hex;
}

}  // namespace hici
