// SPDX-License-Identifier: Apache-2.0
#include "hici/base/output_place.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/base/signals.h"
#include "hici/base/temporary.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include <sys/stat.h>
#include <unistd.h>

namespace hici {
namespace {

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

ReadPlaces& places_of_every_command() {
  static ReadPlaces places;
  return places;
}

// Under whatever names. Of what is not there the path counts.
bool is_same_file(const fs::path& one, const fs::path& other) {
  std::error_code ignored;
  if (fs::equivalent(one, other, ignored)) return true;
  return !fs::exists(one, ignored) && !fs::exists(other, ignored) &&
         fs::weakly_canonical(one, ignored) == fs::weakly_canonical(other, ignored);
}

bool is_in_folder(const fs::path& file, const fs::path& folder) {
  std::error_code problem;
  for (fs::directory_iterator at(folder, problem), end; !problem && at != end; at.increment(problem)) {
    if (!is_folder(at->path()) && is_same_file(at->path(), file)) return true;
  }
  return false;
}

// No reader of models or data looks at one.
bool is_own_result(const fs::path& file) {
  const std::string ending = file.extension().string();
  for (const char* shown : {".svg", ".html", ".htm", ".csv", ".tex"}) {
    if (ending == shown) return true;
  }
  if (ending != ".json") return false;
  try {
    const nlohmann::json value = read_json_file(file);
    // Models' own files may have any key; theirs say what they are.
    return value.is_object() && value.contains("command") && value["command"].is_string() &&
           !value.contains("model_type");
  } catch (const Error&) {
    return false;
  }
}

void check_is_not_read(const fs::path& file, const ReadPlace& place) {
  if (place.path.empty()) return;
  std::error_code ignored;
  const bool is_in = is_folder(place.path) && fs::exists(file, ignored) && is_in_folder(file, place.path);
  HICI_CHECK(!is_in || is_own_result(file), file.string(), ": is in ", place.path.string(),
             ", which this command reads (", place.what, "); choose another name for the output");
  HICI_CHECK(is_in || !is_same_file(file, place.path), file.string(), ": is what this command reads (", place.what,
             "); choose another name for the output");
}

// Leftovers of the output are removed; a user may have named what he gives as if it were one.
void check_leftovers_are_not_read(const fs::path& output, const ReadPlaces& inputs) {
  for (const Leftover& leftover : leftovers_of(output)) {
    for (const ReadPlace& place : inputs) {
      const bool is_read = !place.path.empty() && (is_same_file(leftover.path, without_last_slash(place.path)) ||
                                                   is_same_file(leftover.path, folder_of(place.path)));
      HICI_CHECK(!is_read, place.path.string(), ": is what this command reads (", place.what,
                 "), and its name says that it was left of ", output.string(),
                 ", so that it would be removed; rename it");
    }
  }
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

void note_read_place(ReadPlace place) { places_of_every_command().push_back(std::move(place)); }

void check_output_file(const fs::path& file, const ReadPlaces& inputs) {
  if (file.empty()) return;
  for (const ReadPlace& place : inputs) check_is_not_read(file, place);
  for (const ReadPlace& place : places_of_every_command()) check_is_not_read(file, place);
  check_leftovers_are_not_read(file, inputs);
  check_output_file(file);
}

void check_output_folder(const fs::path& folder) {
  if (folder.empty()) return;
  std::error_code ignored;
  HICI_CHECK(!fs::exists(folder, ignored) || is_folder(folder), folder.string(),
             ": is a file, expected a folder; choose another place for the output");
  check_place(folder / "output", folder);
}

void check_new_folder(const fs::path& folder, const ReadPlaces& inputs) {
  if (folder.empty()) return;
  check_leftovers_are_not_read(without_last_slash(folder), inputs);
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
