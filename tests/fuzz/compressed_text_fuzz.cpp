// SPDX-License-Identifier: Apache-2.0
// A .txt.gz and a .txt.zst: the first byte says which of them the rest is.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/data/byte_stream.h"

#include <zlib.h>
#include <zstd.h>

namespace hici::fuzz {
namespace {

// More than any input of a fuzzer should make: a bomb is read piece by piece, and has no end that is worth the time.
constexpr size_t kMostBytes = size_t{1} << 24;

constexpr std::string_view kText = "Some text, some text, some more text.\n";

std::string gzipped() {
  z_stream z{};
  require(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK, "cannot start zlib");
  std::string out(256, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(kText.data()));
  z.avail_in = static_cast<uInt>(kText.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  require(deflate(&z, Z_FINISH) == Z_STREAM_END, "cannot compress");
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

std::string zstd_compressed() {
  std::string out(ZSTD_compressBound(kText.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), kText.data(), kText.size(), 3));
  return out;
}

}  // namespace

void read_compressed_text(std::string_view bytes) {
  static const ScratchFolder folder;
  const bool is_gzip = !bytes.empty() && bytes[0] == 'g';
  const auto stream =
      data::open_byte_stream(folder.write(is_gzip ? "a.txt.gz" : "a.txt.zst", bytes.substr(bytes.empty() ? 0 : 1)));
  std::string text;
  while (text.size() < kMostBytes && data::append_from(*stream, text)) {
  }
}

// Appended: g++ 12 sees an overrun in a sum of texts here.
std::vector<std::string> compressed_text_seeds() {
  return {std::string("g").append(gzipped()), std::string("z").append(zstd_compressed())};
}

}  // namespace hici::fuzz
