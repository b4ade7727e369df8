// SPDX-License-Identifier: Apache-2.0
#include "hici/base/installed_data.h"

#include "hici/base/error.h"

#include <string>
#include <system_error>

namespace hici {

std::filesystem::path program_folder() {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
}

std::vector<std::filesystem::path> data_folders(const std::filesystem::path& program_folder) {
  constexpr int kLevels = 4;
  std::vector<std::filesystem::path> folders;
  std::filesystem::path above = program_folder;
  for (int level = 0; level < kLevels; ++level, above = above.parent_path()) {
    const std::filesystem::path folder = above / "share" / "hici";
    if (folders.empty() || folders.back() != folder) folders.push_back(folder);  // "/" is its own parent
  }
  return folders;
}

std::filesystem::path find_installed_data(const std::filesystem::path& program_folder,
                                          const std::filesystem::path& name, const char* way_out) {
  std::string looked_in;
  for (const std::filesystem::path& folder : data_folders(program_folder)) {
    std::error_code ignored;
    if (std::filesystem::is_regular_file(folder / name, ignored)) return folder / name;
    looked_in += (looked_in.empty() ? "" : ", ") + folder.string();
  }
  fail(name.string(), ": comes with hici and is in none of ", looked_in, "; ", way_out);
}

}  // namespace hici
