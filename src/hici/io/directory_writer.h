// SPDX-License-Identifier: Apache-2.0
// Atomic creation of a directory: files are written to a new folder beside the final name (base/temporary.h), which
// publish() renames.
#pragma once

#include "hici/base/output_place.h"
#include "hici/base/temporary.h"

#include <cstdint>
#include <filesystem>
#include <optional>

namespace hici::io {

// Without publish() all files are removed.
class DirectoryWriter {
 public:
  // Creates the working folder and missing parents, and removes leftovers of the same directory. An error if fewer than
  // `needed_bytes` are free there, or if anything but an empty folder has the final name.
  DirectoryWriter(const std::filesystem::path& path, uint64_t needed_bytes);
  const std::filesystem::path& folder() const { return folder_->path(); }
  // Copies `file` into the working folder under the same name and syncs it. No effect if `file` does not exist.
  void copy_if_there(const std::filesystem::path& file);
  // The same for the files of a folder, into a folder of its name.
  void copy_folder_if_there(const std::filesystem::path& folder_to_copy);
  // Syncs and renames. An empty folder with the final name is replaced; anything else there is an error.
  void publish();

 private:
  std::filesystem::path path_;
  std::optional<MadeFolders> parents_;
  std::optional<WorkingFolder> folder_;
};

}  // namespace hici::io
