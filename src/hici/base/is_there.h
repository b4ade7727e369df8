// SPDX-License-Identifier: Apache-2.0
// Whether a folder has an entry of a name, for readers that do without a file when there is none.
#pragma once

#include <filesystem>

namespace hici {

// True also for a link that leads nowhere: what the file says is missing then, and reading it is an error, not a
// default. Throws std::filesystem::filesystem_error where the system does not tell.
inline bool is_there(const std::filesystem::path& path) {
  return std::filesystem::exists(std::filesystem::symlink_status(path));
}

}  // namespace hici
