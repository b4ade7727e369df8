// SPDX-License-Identifier: Apache-2.0
// Bytes of a file from front to end, decompressed on the way: plain, .gz (zlib) and .zst (libzstd).
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace hici::data {

class ByteStream {
 public:
  virtual ~ByteStream() = default;
  // Up to `size` bytes; 0 at the end only. A file that ends inside its compressed data, or whose checksum is wrong, is
  // an hici::Error.
  virtual size_t read(char* out, size_t size) = 0;
  // Bytes of the file itself that were read so far: what progress is measured in.
  virtual uint64_t bytes_consumed() const = 0;
};

// Appends up to 1 MiB to `buffer`; false at the end of the file.
bool append_from(ByteStream& stream, std::string& buffer);

// By the ending of the name: .gz, .zst, else plain.
std::unique_ptr<ByteStream> open_byte_stream(const std::filesystem::path& path);

// The ending that tells the format once .gz or .zst is taken off: "a.jsonl.gz" -> ".jsonl".
std::string format_ending(const std::filesystem::path& path);

}  // namespace hici::data
