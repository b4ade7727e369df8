// SPDX-License-Identifier: Apache-2.0
// XXH3, 128 bits: notices damage and tells contents apart at the speed of memory. No defence against forgers; Sha256 is
// one.
#pragma once

#include <cstddef>
#include <memory>
#include <string>

namespace hici {

class ContentHash {
 public:
  ContentHash();
  ~ContentHash();
  ContentHash(const ContentHash&) = delete;
  ContentHash& operator=(const ContentHash&) = delete;

  void update(const void* data, size_t num_bytes);
  // 32 lower-case hex digits of all bytes so far, as xxhsum -H2 prints them.
  std::string hex_digest() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace hici
