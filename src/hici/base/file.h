// SPDX-License-Identifier: Apache-2.0
// Files: writes that appear under their final name only when complete and on disk; and, of base/read_file.h, reads.
// Every message names the path as it was given.
#pragma once

#include "hici/base/read_file.h"  // for those who read and write

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace hici {

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

}  // namespace hici
