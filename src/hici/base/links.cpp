// SPDX-License-Identifier: Apache-2.0
#include "hici/base/links.h"

#include "hici/base/error.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include <fcntl.h>
#include <unistd.h>

namespace hici {
namespace {

namespace fs = std::filesystem;

bool is_within(const fs::path& path, const fs::path& folder) {
  if (folder.empty()) return false;
  const auto [in_folder, ignored] = std::mismatch(folder.begin(), folder.end(), path.begin(), path.end());
  return in_folder == folder.end();
}

// A repository of the Hub cache is a folder models--ORG--NAME; snapshots/REVISION/FILE are links to blobs/HASH in it.
bool is_repository(const fs::path& folder) {
  const std::string name = folder.filename().string();
  return name.starts_with("models--") || name.starts_with("datasets--");
}

// The repository that a snapshot, or a folder in one, belongs to; empty where it is none.
fs::path repository_of_snapshot(const fs::path& folder) {
  for (fs::path at = folder; at.has_relative_path(); at = at.parent_path()) {
    if (at.filename() == "snapshots" && is_repository(at.parent_path())) return at.parent_path();
  }
  return {};
}

bool is_blob(const fs::path& file) {
  return file.parent_path().filename() == "blobs" && is_repository(file.parent_path().parent_path());
}

bool may_lead_to(const fs::path& link, const fs::path& target, Links links) {
  std::error_code problem;
  const fs::path folder = fs::canonical(link.has_parent_path() ? link.parent_path() : fs::path("."), problem);
  if (problem) return false;
  if (is_within(target, folder) || is_within(target, repository_of_snapshot(folder))) return true;
  const bool has_ending = link.has_extension() && link.extension() == target.extension();
  return links == Links::kData && (has_ending || is_blob(target));
}

const char* way_out(Links links) {
  return links == Links::kData
             ? "; a link to data must keep the ending of its name; copy the file here, or give the folder that it is in"
             : "; such a link is not followed; copy the file here, or give the folder that it is in";
}

}  // namespace

int open_for_reading(const fs::path& path, Links links) {
  // O_NONBLOCK: opening a FIFO must not wait for a writer; whoever reads refuses it.
  constexpr int kFlags = O_RDONLY | O_NONBLOCK | O_CLOEXEC;
  const bool follows_all = links == Links::kAny;
  int file = ::open(path.c_str(), follows_all ? kFlags : kFlags | O_NOFOLLOW);
  if (file >= 0 || follows_all || errno != ELOOP) {
    HICI_CHECK(file >= 0, path.string(), ": cannot open: ", std::strerror(errno));
    return file;
  }
  file = ::open(path.c_str(), kFlags);
  HICI_CHECK(file >= 0, path.string(), ": is a link that cannot be opened: ", std::strerror(errno));
  std::error_code problem;
  const fs::path target = fs::read_symlink("/proc/self/fd/" + std::to_string(file), problem);
  if (!problem && may_lead_to(path, target, links)) return file;
  ::close(file);
  fail(path.string(), ": is a link to ", problem ? std::string("an unknown place") : target.string(),
       ", outside its folder", way_out(links));
}

}  // namespace hici
