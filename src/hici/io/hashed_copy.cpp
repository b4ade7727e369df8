// SPDX-License-Identifier: Apache-2.0
#include "hici/io/hashed_copy.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>

namespace hici::io {
namespace {

constexpr size_t kPieceBytes = size_t{1} << 17;  // so that a piece is hashed while it is in the cache
constexpr size_t kLargeBytes = size_t{8} << 20;  // worth a thread

void copy_in_pieces(const MappedFile& file, uint64_t offset, char* out, size_t num_bytes,
                    const std::function<void(size_t done)>& on_piece) {
  for (size_t done = 0; done < num_bytes;) {
    const size_t size = std::min(kPieceBytes, num_bytes - done);
    file.copy(offset + done, out + done, size);
    done += size;
    on_piece(done);
  }
}

// A large tensor is hashed on a thread of its own that follows the copy: where a core is free, it costs no time.
void copy_and_hash_behind(const MappedFile& file, uint64_t offset, char* out, size_t num_bytes, ContentHash& hash) {
  constexpr size_t kGivenUp = ~size_t{0};
  std::atomic<size_t> copied{0};
  std::jthread hasher([&] {
    for (size_t done = 0; done < num_bytes;) {
      copied.wait(done);
      const size_t end = copied.load();
      if (end == kGivenUp) return;
      hash.update(out + done, end - done);
      done = end;
    }
  });
  const auto announce = [&](size_t done) {
    copied = done;
    copied.notify_one();
  };
  try {
    copy_in_pieces(file, offset, out, num_bytes, announce);
  } catch (...) {
    announce(kGivenUp);
    throw;
  }
}

}  // namespace

void copy_and_hash(const MappedFile& file, uint64_t offset, void* out, size_t num_bytes, ContentHash& hash) {
  char* to = static_cast<char*>(out);
  if (num_bytes >= kLargeBytes) return copy_and_hash_behind(file, offset, to, num_bytes, hash);
  size_t hashed = 0;
  copy_in_pieces(file, offset, to, num_bytes, [&](size_t done) {
    hash.update(to + hashed, done - hashed);
    hashed = done;
  });
}

}  // namespace hici::io
