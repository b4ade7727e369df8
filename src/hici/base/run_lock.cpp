// SPDX-License-Identifier: Apache-2.0
#include "hici/base/run_lock.h"

#include "hici/base/error.h"
#include "hici/base/is_there.h"
#include "hici/base/log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

namespace hici {
namespace {

std::string this_process() {
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) std::strcpy(host.data(), "unknown");
  return "pid " + std::to_string(getpid()) + " on host " + host.data();
}

// The first line of the lock file, as printable text: what the holder wrote about itself.
std::string read_holder(int descriptor) {
  std::array<char, 256> text{};
  const ssize_t size = pread(descriptor, text.data(), text.size() - 1, 0);
  std::string holder(text.data(), size > 0 ? static_cast<size_t>(size) : 0);
  holder = holder.substr(0, holder.find('\n'));
  for (char& c : holder) c = c >= ' ' && c <= '~' ? c : '?';
  return holder.empty() ? "pid unknown" : holder;
}

bool is_same_file(int descriptor, const std::filesystem::path& path) {
  struct stat opened{};
  struct stat named{};
  return fstat(descriptor, &opened) == 0 && lstat(path.c_str(), &named) == 0 && opened.st_ino == named.st_ino &&
         opened.st_dev == named.st_dev;
}

[[noreturn]] void fail_held(const std::filesystem::path& directory, const std::string& holder) {
  fail(directory.string(), ": another hici process (", holder,
       ") is writing in this directory; wait for it to end or choose another output directory");
}

}  // namespace

RunLock::RunLock(const std::filesystem::path& directory) : file_(directory / kFileName) {
  // A holder removes the file as it ends, and a folder that it made and has put nothing into: a lock may be won on what
  // is gone. Then take the new one.
  do {
    if (descriptor_ >= 0) close(std::exchange(descriptor_, -1));
    folders_.emplace(directory);
  } while (!try_lock());
}

RunLock::~RunLock() {
  if (descriptor_ < 0) return;
  unlink(file_.c_str());  // before the lock goes: whoever opened this file sees that it is gone and opens a new one
  close(descriptor_);
}

void RunLock::check_free(const std::filesystem::path& directory) {
  const std::filesystem::path file = directory / kFileName;
  if (!is_folder(directory)) return check_new_folder(directory);
  const int descriptor = open(file.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) return check_output_file(file);
  const bool is_held = flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  const std::string holder = read_holder(descriptor);
  close(descriptor);
  if (is_held) fail_held(directory, holder);
}

bool RunLock::try_lock() {
  descriptor_ = open(file_.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (descriptor_ < 0 && errno == ENOENT && !is_folder(file_.parent_path())) return false;
  HICI_CHECK(descriptor_ >= 0 || errno != ELOOP, file_.string(),
             ": is a symbolic link, which is not followed; remove it or choose another output directory");
  HICI_CHECK(descriptor_ >= 0, file_.string(), ": cannot write here (", std::strerror(errno),
             "); choose another output directory");
  if (flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    const int reason = errno;
    const std::string holder = read_holder(descriptor_);
    if (reason == EWOULDBLOCK) {
      close(descriptor_);
      fail_held(file_.parent_path(), holder);
    }
    log_warning(file_.parent_path().string(), ": this file system has no locks (", std::strerror(reason),
                "); make sure that no second process writes here");
    return true;
  }
  if (!is_same_file(descriptor_, file_)) return false;
  write_holder();
  return true;
}

void RunLock::write_holder() const {
  const std::string text = this_process() + "\n";
  // The text only serves the message of a second process, so a full disk is no reason to fail here.
  if (ftruncate(descriptor_, 0) == 0) static_cast<void>(!pwrite(descriptor_, text.data(), text.size(), 0));
}

}  // namespace hici
