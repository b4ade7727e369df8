// SPDX-License-Identifier: Apache-2.0
// Whether a folder has an entry of a name, for readers that do without a file when there is none; whether it is a
// folder.
#pragma once

#include <cerrno>
#include <filesystem>
#include <system_error>

namespace hici {

// True also for a link that leads nowhere: what the file says is missing then, and reading it is an error, not a
// default. Throws std::filesystem::filesystem_error where the system does not tell.
inline bool is_there(const std::filesystem::path& path) {
  return std::filesystem::exists(std::filesystem::symlink_status(path));
}

// Whether `path` is a folder, or a link to one. False where the system does not tell; errno stays as it was.
inline bool is_folder(const std::filesystem::path& path) {
  std::error_code ignored;
  const int reason = errno;
  const bool is_one = std::filesystem::is_directory(path, ignored);
  errno = reason;
  return is_one;
}

}  // namespace hici
