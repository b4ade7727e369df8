// SPDX-License-Identifier: Apache-2.0
#include "hici/base/temporary.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/log.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

namespace hici {
namespace {

constexpr std::string_view kMark = ".hici-tmp-";
constexpr size_t kNumDigits = 16;
constexpr size_t kMaxNameBytes = 255;
constexpr int kMaxDraws = 16;

// What stands in front of the mark: NAME, cut where a name would be too long, but not inside of a character.
std::string stem_of(const fs::path& target) {
  std::string name = target.filename().string();
  size_t size = std::min(name.size(), kMaxNameBytes - kMark.size() - kNumDigits);
  while (size < name.size() && size > 0 && (static_cast<unsigned char>(name[size]) & 0xC0) == 0x80) --size;
  name.resize(size);
  return name;
}

fs::path drawn_path(const fs::path& target, const RandomBits& random) {
  std::array<char, kNumDigits + 1> digits{};
  std::snprintf(digits.data(), digits.size(), "%016llx", static_cast<unsigned long long>(random()));
  return folder_of(target) / (stem_of(target) + std::string(kMark) + digits.data());
}

bool is_named(int descriptor, const fs::path& path) {
  struct stat opened{};
  struct stat named{};
  return ::fstat(descriptor, &opened) == 0 && ::lstat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
         opened.st_dev == named.st_dev;
}

// False when somebody looks whether it is a leftover just now, or has removed it as one before the lock was there.
bool is_ours(int descriptor, const fs::path& path) {
  const bool is_locked = ::flock(descriptor, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK;  // or there are no locks
  return is_locked && is_named(descriptor, path);
}

// Makes an entry with `make(path)`, which gives a descriptor, or -1 and errno.
template <typename Make>
TemporaryFile make_new(const fs::path& target, const RandomBits& random, const Make& make) {
  HICI_CHECK(target.has_filename(), target.string(), ": is the name of a folder, expected a file");
  struct stat ignored{};  // a name that is cut would hide that the whole one can never be
  HICI_CHECK(::lstat(target.c_str(), &ignored) == 0 || errno != ENAMETOOLONG, target.string(),
             ": cannot create: ", std::strerror(ENAMETOOLONG));
  fs::path path;
  for (int draw = 0; draw < kMaxDraws; ++draw) {
    path = drawn_path(target, random);
    const int descriptor = make(path);
    HICI_CHECK(descriptor >= 0 || errno == EEXIST, target.string(), ": cannot create: ", std::strerror(errno));
    if (descriptor < 0) continue;
    if (is_ours(descriptor, path)) return {path, descriptor};
    ::close(descriptor);
  }
  fail(target.string(), ": cannot create: ", path.string(), " is in the way; remove it");
}

int make_file(const fs::path& path) {
  return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
}

constexpr int kFolderFlags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

int make_folder(const fs::path& path) {
  if (::mkdir(path.c_str(), 0777) != 0) return -1;
  const int descriptor = ::open(path.c_str(), kFolderFlags);
  const int reason = errno;
  if (descriptor < 0) ::rmdir(path.c_str());
  errno = reason;
  return descriptor;
}

// The kernel of one machine knows all locks on folders there; elsewhere other machines may hold one.
bool is_on_this_machine(int descriptor) {
  struct statfs status{};
  if (::fstatfs(descriptor, &status) != 0) return false;
  constexpr std::array<decltype(status.f_type), 8> kLocal = {EXT4_SUPER_MAGIC, XFS_SUPER_MAGIC, BTRFS_SUPER_MAGIC,
                                                             TMPFS_MAGIC,      RAMFS_MAGIC,     OVERLAYFS_SUPER_MAGIC,
                                                             F2FS_SUPER_MAGIC, 0x2FC12FC1 /* ZFS */};
  return std::find(kLocal.begin(), kLocal.end(), status.f_type) != kLocal.end();
}

// A descriptor that holds the lock, or -1: in use, gone, neither a file nor a folder, or nobody knows.
int open_unused(const fs::path& path) {
  struct stat status{};
  if (::lstat(path.c_str(), &status) != 0) return -1;
  const bool is_folder = S_ISDIR(status.st_mode);
  if (!is_folder && !S_ISREG(status.st_mode)) return -1;
  // For writing: locks of NFS need it.
  const int flags = is_folder ? kFolderFlags : O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC;
  const int descriptor = ::open(path.c_str(), flags);
  if (descriptor < 0) return -1;
  const bool is_unused = (!is_folder || is_on_this_machine(descriptor)) &&
                         ::flock(descriptor, LOCK_EX | LOCK_NB) == 0 && is_named(descriptor, path);
  if (is_unused) return descriptor;
  ::close(descriptor);
  return -1;
}

std::vector<Leftover> find_leftovers(const fs::path& folder, const std::function<bool(const std::string&)>& is_meant) {
  std::vector<Leftover> found;
  std::error_code error;
  for (fs::directory_iterator at(folder, error), end; !error && at != end; at.increment(error)) {
    const std::string name = at->path().filename().string();
    if (is_temporary_name(name) && is_meant(name)) found.push_back({at->path(), is_in_use(at->path())});
  }
  std::sort(found.begin(), found.end(), [](const Leftover& a, const Leftover& b) { return a.path < b.path; });
  return found;
}

void remove_leftover(const fs::path& path) {
  const int descriptor = open_unused(path);  // its lock is held until all is gone
  if (descriptor < 0) return;
  std::error_code error;
  fs::remove_all(path, error);
  ::close(descriptor);
  if (error) {
    log_warning(path.string(), ": was left by a process that ended early and cannot be removed (", error.message(),
                ")");
  } else {
    log_info(path.string(), ": left by a process that ended early, removed");
  }
}

}  // namespace

uint64_t random_bits() {
  uint64_t bits = 0;
  while (::getrandom(&bits, sizeof bits, 0) != sizeof bits) {
    HICI_CHECK(errno == EINTR, "the kernel's random numbers cannot be read: ", std::strerror(errno));
  }
  return bits;
}

bool is_temporary_name(std::string_view name) {
  if (name.size() <= kMark.size() + kNumDigits) return false;
  const size_t mark = name.size() - kMark.size() - kNumDigits;
  return name.substr(mark, kMark.size()) == kMark &&
         name.find_first_not_of("0123456789abcdef", mark + kMark.size()) == std::string_view::npos;
}

TemporaryFile open_temporary_file(const fs::path& target, const RandomBits& random) {
  return make_new(target, random, make_file);
}

WorkingFolder::WorkingFolder(const fs::path& target, const RandomBits& random) {
  const TemporaryFile made = make_new(target, random, make_folder);
  path_ = made.path;
  descriptor_ = made.descriptor;
}

WorkingFolder::~WorkingFolder() {
  std::error_code ignored;  // what cannot be removed keeps its temporary name
  if (!path_.empty()) fs::remove_all(path_, ignored);
  ::close(descriptor_);
}

bool WorkingFolder::rename_to(const fs::path& name) {
  if (std::rename(path_.c_str(), name.c_str()) != 0) return false;
  path_.clear();
  return true;
}

std::vector<Leftover> leftovers_of(const fs::path& target) {
  const std::string prefix = stem_of(target) + std::string(kMark);
  const size_t size = prefix.size() + kNumDigits;
  return find_leftovers(folder_of(target),
                        [&](const std::string& name) { return name.size() == size && name.starts_with(prefix); });
}

std::vector<Leftover> leftovers_in(const fs::path& folder) {
  return find_leftovers(folder, [](const std::string&) { return true; });
}

bool is_in_use(const fs::path& path) {
  const int descriptor = open_unused(path);
  if (descriptor < 0) return true;
  ::close(descriptor);
  return false;
}

void remove_leftovers(const std::vector<Leftover>& leftovers) {
  for (const Leftover& leftover : leftovers) {
    if (!leftover.is_in_use) remove_leftover(leftover.path);
  }
}

}  // namespace hici
