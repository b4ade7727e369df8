// SPDX-License-Identifier: Apache-2.0
#include "hici/base/file.h"

#include "hici/base/descriptor.h"
#include "hici/base/error.h"
#include "hici/base/signals.h"
#include "hici/base/temporary.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace hici {
namespace {

// The disk takes what is whole meanwhile, so that commit() has less to wait for. Only a hint: no error is one.
void begin_to_sync(int descriptor, uint64_t before, uint64_t now) {
  constexpr uint64_t kStretch = uint64_t{32} << 20;
  const uint64_t begin = before / kStretch * kStretch, end = now / kStretch * kStretch;
  if (begin < end)
    ::sync_file_range(descriptor, static_cast<off64_t>(begin), static_cast<off64_t>(end - begin),
                      SYNC_FILE_RANGE_WRITE);
}

}  // namespace

bool is_plain_name(std::string_view name) {
  const auto is_allowed = [](unsigned char c) { return c >= ' ' && c != 0x7f && c != '/' && c != '\\'; };
  return !name.empty() && name.size() <= 255 && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(), is_allowed);
}

uint64_t free_bytes(const fs::path& path) {
  fs::path place = fs::absolute(path);
  while (!fs::exists(place) && place.has_relative_path()) place = place.parent_path();
  struct statvfs status{};
  HICI_CHECK(::statvfs(place.c_str(), &status) == 0, path.string(), ": cannot read the free space: ", reason(errno));
  return uint64_t{status.f_bavail} * status.f_frsize;
}

fs::path folder_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

fs::path without_last_slash(const fs::path& path) {
  return path.has_filename() || !path.has_parent_path() ? path : path.parent_path();
}

void check_replaceable(const fs::path& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return;
  HICI_CHECK(!S_ISLNK(status.st_mode), path.string(),
             ": is a symbolic link, which is not written through; give the name of a file, or remove the link");
  HICI_CHECK(!S_ISDIR(status.st_mode), path.string(), ": is a directory, expected the name of a file to write");
  HICI_CHECK(S_ISREG(status.st_mode), path.string(),
             ": is no regular file (a pipe or a device); give the name of a file to write");
}

void sync_folder(const fs::path& folder) {
  const Descriptor file(folder, O_RDONLY | O_DIRECTORY);
  HICI_CHECK(file.value >= 0, folder.string(), ": cannot open the folder: ", reason(errno));
  // Some network file systems cannot sync a folder and say EINVAL; there the rename itself is all one can have.
  HICI_CHECK(::fsync(file.value) == 0 || errno == EINVAL, folder.string(), ": cannot sync the folder: ", reason(errno));
}

AtomicFile::AtomicFile(fs::path path) : path_(std::move(path)) {
  check_replaceable(path_);
  remove_leftovers(leftovers_of(path_));
  TemporaryFile file = open_temporary_file(path_);
  temporary_ = std::move(file.path);
  descriptor_ = file.descriptor;
}

AtomicFile::~AtomicFile() {
  if (descriptor_ < 0) return;
  ::unlink(temporary_.c_str());  // before its lock goes: it is no leftover
  ::close(descriptor_);
}

void AtomicFile::failed(const char* what) const {
  const int error = errno;
  if (error == ENOSPC || error == EDQUOT)
    fail(path_.string(), ": disk full after ", written_, " bytes, ", free_bytes(folder_of(path_)),
         " bytes free; make room and run again");
  fail(path_.string(), ": cannot ", what, ": ", reason(error));
}

void AtomicFile::write(const void* data, size_t num_bytes) {
  HICI_ASSERT(descriptor_ >= 0, path_.string(), " is written after commit()");
  const auto* from = static_cast<const char*>(data);
  for (size_t done = 0; done < num_bytes;) {
    const ssize_t n = ::write(descriptor_, from + done, std::min(num_bytes - done, kMaxTransfer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) failed("write");
    done += static_cast<size_t>(n);
    written_ += static_cast<uint64_t>(n);
    begin_to_sync(descriptor_, written_ - static_cast<uint64_t>(n), written_);
  }
}

void AtomicFile::commit() {
  HICI_ASSERT(descriptor_ >= 0, path_.string(), " is committed twice");
  if (::fsync(descriptor_) != 0) failed("sync");
  check_replaceable(path_);  // what came there meanwhile
  // The lock goes with the last descriptor: without one, the file would be a leftover between here and the rename.
  const Descriptor lock(::fcntl(descriptor_, F_DUPFD_CLOEXEC, 0));
  // close() may report what a network file system could not write; only then is the rename safe.
  if (::close(std::exchange(descriptor_, -1)) != 0 || ::rename(temporary_.c_str(), path_.c_str()) != 0) {
    const int error = errno;
    ::unlink(temporary_.c_str());
    errno = error;
    failed("publish");
  }
  sync_folder(folder_of(path_));
}

void write_file_atomically(const fs::path& path, std::string_view bytes) {
  const PostponedSignals signals;
  AtomicFile file(path);
  file.write(bytes);
  file.commit();
}

}  // namespace hici
