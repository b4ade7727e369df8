// SPDX-License-Identifier: Apache-2.0
// A directory that appears whole or not at all: files go into a new folder beside the final name (base/temporary.h),
// publish() renames it.
#pragma once

#include "hici/base/output_place.h"
#include "hici/base/temporary.h"

#include <cstdint>
#include <filesystem>
#include <optional>

namespace hici::io {

// Without publish() everything is removed again.
class DirectoryWriter {
 public:
  // Makes the working folder; an error when fewer than `needed_bytes` are free there, or when the name is taken by more
  // than an empty folder. Missing parents are made. What dead processes left of the same directory is removed.
  DirectoryWriter(const std::filesystem::path& path, uint64_t needed_bytes);
  const std::filesystem::path& folder() const { return folder_->path(); }
  // Into the working folder, under the same name, synced; nothing when `file` does not exist.
  void copy_if_there(const std::filesystem::path& file);
  // Syncs and renames. An empty folder under the final name is replaced, anything else there is an error.
  void publish();

 private:
  std::filesystem::path path_;
  std::optional<MadeFolders> parents_;
  std::optional<WorkingFolder> folder_;
};

}  // namespace hici::io
