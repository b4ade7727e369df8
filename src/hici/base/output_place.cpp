// SPDX-License-Identifier: Apache-2.0
#include "hici/base/output_place.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/signals.h"
#include "hici/base/temporary.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include <sys/stat.h>
#include <unistd.h>

namespace hici {
namespace {

bool is_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(path, ignored);
}

// A new entry beside `path` and gone again. False when another process removed the folder meanwhile, because it had
// made it only to look.
// `shown`: what the user named.
bool try_place(const fs::path& path, const fs::path& shown) {
  const MadeFolders folders(folder_of(path));
  remove_leftovers(leftovers_of(path));
  try {
    const TemporaryFile file = open_temporary_file(path);
    ::unlink(file.path.c_str());
    ::close(file.descriptor);
    return true;
  } catch (const Error& e) {
    if (!is_folder(folder_of(path))) return false;
    fail(shown.string(), std::string(e.what()).substr(path.string().size()), "; choose another place for the output");
  }
}

void check_place(const fs::path& path, const fs::path& shown) {
  constexpr int kAttempts = 8;
  const PostponedSignals signals;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    if (try_place(path, shown)) return;
  }
  fail(shown.string(), ": its folder is removed again and again; choose another place for the output");
}

}  // namespace

MadeFolders::MadeFolders(const fs::path& folder) {
  std::vector<fs::path> missing;
  for (fs::path at = without_last_slash(folder); !at.empty() && !is_folder(at); at = at.parent_path()) {
    missing.push_back(at);
    if (at == at.parent_path()) break;
  }
  std::reverse(missing.begin(), missing.end());
  for (const fs::path& path : missing) {
    if (::mkdir(path.c_str(), 0777) == 0) {
      made_.push_back(path);
    } else if (!is_folder(path)) {  // else another process was faster
      const int reason = errno;
      remove_empty();
      fail(folder.string(), ": cannot make this folder (", path == folder ? "" : path.string() + ": ",
           std::strerror(reason), "); choose another place for the output");
    }
  }
}

MadeFolders::~MadeFolders() { remove_empty(); }

void MadeFolders::remove_empty() {
  for (auto at = made_.rbegin(); at != made_.rend(); ++at) ::rmdir(at->c_str());  // refuses what is not empty
}

void check_output_file(const fs::path& file) {
  if (file.empty()) return;
  check_replaceable(file);
  check_place(file, file);
}

void check_output_folder(const fs::path& folder) {
  if (folder.empty()) return;
  std::error_code ignored;
  HICI_CHECK(!fs::exists(folder, ignored) || is_folder(folder), folder.string(),
             ": is a file, expected a folder; choose another place for the output");
  check_place(folder / "output", folder);
}

void check_new_folder(const fs::path& folder) {
  if (folder.empty()) return;
  const fs::path name = without_last_slash(folder);
  std::error_code error;
  HICI_CHECK(!fs::is_symlink(name, error), name.string(),
             ": is a symbolic link, which is not replaced; give the name of a new directory, or remove the link");
  HICI_CHECK(!fs::exists(name, error) || (is_folder(name) && fs::is_empty(name, error)), name.string(),
             ": exists and is not empty; choose another output directory, or remove it");
  HICI_CHECK(!error, name.string(), ": cannot be read (", error.message(), "); choose another output directory");
  check_place(name, name);
}

void write_output_file(const fs::path& file, std::string_view bytes) {
  check_replaceable(file);
  std::error_code error;
  fs::create_directories(folder_of(file), error);
  HICI_CHECK(!error, folder_of(file).string(), ": cannot make this folder (", error.message(),
             "); choose another place for the output");
  write_file_atomically(file, bytes);
}

}  // namespace hici
