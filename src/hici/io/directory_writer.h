// SPDX-License-Identifier: Apache-2.0
// A directory that appears whole or not at all: files go into a folder beside the final name, publish() renames it.
#pragma once

#include <cstdint>
#include <filesystem>

namespace hici::io {

// An error unless `path` is free for a directory to be published: not there, or an empty folder.
void check_is_vacant(const std::filesystem::path& path);

class DirectoryWriter {
 public:
  // Makes the working folder; an error when fewer than `needed_bytes` are free there. Missing parents are made.
  DirectoryWriter(std::filesystem::path path, uint64_t needed_bytes);
  // Without publish() everything is removed again.
  ~DirectoryWriter();
  DirectoryWriter(const DirectoryWriter&) = delete;
  DirectoryWriter& operator=(const DirectoryWriter&) = delete;

  const std::filesystem::path& folder() const { return folder_; }
  // Into the working folder, under the same name, synced; nothing when `file` does not exist.
  void copy_if_there(const std::filesystem::path& file);
  // Syncs and renames. An empty folder under the final name is replaced, anything else there is an error.
  void publish();

 private:
  std::filesystem::path path_;
  std::filesystem::path folder_;
  bool published_ = false;
};

}  // namespace hici::io
