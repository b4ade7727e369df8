// SPDX-License-Identifier: Apache-2.0
// Files: whole reads with a limit, and read-only mappings that notice a file that changed underneath. Every message
// names the path as it was given.
#pragma once

#include "hici/base/links.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace hici {

namespace fs = std::filesystem;

// The whole of a regular file; an error when it is larger than `max_bytes` (named with its size), or ends early.
std::string read_file(const fs::path& path, size_t max_bytes);
std::string read_file(const fs::path& path, size_t max_bytes, Links links);

// A regular file, mapped read-only. Movable. The file is identified when it is opened (device, inode, size, time).
class MappedFile {
 public:
  explicit MappedFile(fs::path path);
  MappedFile(fs::path path, Links links);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  const fs::path& path() const { return path_; }
  uint64_t size() const { return size_; }
  // The mapping itself. Reading it after another process cut the file short kills the process (SIGBUS): use it for what
  // is read once right after check_unchanged(), and copy() for everything else.
  std::span<const std::byte> bytes() const { return {data_, size_}; }
  // Copies [offset, offset + num_bytes) through the descriptor: a file that shrank is an hici::Error, never a crash.
  void copy(uint64_t offset, void* out, size_t num_bytes) const;
  // An hici::Error when size or time of the file are no longer those seen when it was opened.
  void check_unchanged() const;

 private:
  void close() noexcept;

  fs::path path_;
  int descriptor_ = -1;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
  int64_t modified_ns_ = 0;
};

}  // namespace hici
