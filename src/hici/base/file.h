// SPDX-License-Identifier: Apache-2.0
// Files: whole reads with a limit, writes that appear under their final name only when complete and on disk, and
// read-only mappings that notice a file that changed underneath. Every message names the path as it was given.
#pragma once

#include "hici/base/links.h"

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace hici {

namespace fs = std::filesystem;

// The whole of a regular file; an error when it is larger than `max_bytes` (named with its size), or ends early.
std::string read_file(const fs::path& path, size_t max_bytes);
std::string read_file(const fs::path& path, size_t max_bytes, Links links);

// True for a name that stays inside a folder: 1 to 255 bytes (more is none on any file system), no '/', '\' or control
// character, not "." or "..". Names of shards and data files found inside other files must pass it.
bool is_plain_name(std::string_view name);

// Bytes that this process may still write where `path` is or would be made.
uint64_t free_bytes(const fs::path& path);

// The folder that holds `path`: "." for a name alone.
fs::path folder_of(const fs::path& path);

// "out" for "out/", which is the same folder.
fs::path without_last_slash(const fs::path& path);

// An error unless `path` is free for a file, or the name of a regular file that may be replaced: a link is not written
// through and not replaced, a device or a folder even less.
void check_replaceable(const fs::path& path);

// The entry itself (its name) on disk, after a file was created, renamed or removed in `folder`.
void sync_folder(const fs::path& folder);

// A file written beside its final name (base/temporary.h) and renamed over it by commit(). Without commit() the
// destructor removes it, so that nothing half-written is ever seen under `path`. Errors (full disk among them) name the
// path and what was needed.
class AtomicFile {
 public:
  // Needs a path that check_replaceable() lets pass. Removes what dead processes left of the same file.
  explicit AtomicFile(fs::path path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, size_t num_bytes);
  void write(std::string_view text) { write(text.data(), text.size()); }
  uint64_t bytes_written() const { return written_; }
  // fsync, rename, fsync of the folder. Nothing may be written afterwards.
  void commit();

 private:
  [[noreturn]] void failed(const char* what) const;

  fs::path path_;
  fs::path temporary_;
  int descriptor_ = -1;
  uint64_t written_ = 0;
};

// In one go. A stop signal that would end the process on the spot waits until the file is there.
void write_file_atomically(const fs::path& path, std::string_view bytes);

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
