// SPDX-License-Identifier: Apache-2.0
#include "hici/base/append_file.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/log.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace hici {

AppendFile::AppendFile(std::filesystem::path path, Open open_as) : path_(std::move(path)) {
  check_replaceable(path_);
  const int flags = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC | (open_as == Open::kMustBeNew ? O_EXCL : 0);
  descriptor_ = open(path_.c_str(), flags, 0644);
  HICI_CHECK(descriptor_ >= 0, path_.string(), ": cannot be opened for writing (", std::strerror(errno),
             "); choose another output directory");
  if (open_as != Open::kAlone || flock(descriptor_, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK) return;
  close(descriptor_);
  fail(path_.string(), ": another process is writing it; wait for it to end, or choose another output");
}

AppendFile::~AppendFile() { close(descriptor_); }

bool AppendFile::append(std::string_view record) {
  struct stat before{};
  HICI_CHECK(fstat(descriptor_, &before) == 0, path_.string(), ": cannot be read (", std::strerror(errno), ")");
  while (!record.empty()) {
    const ssize_t written = ::write(descriptor_, record.data(), record.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) {
      give_up(static_cast<uint64_t>(before.st_size), errno);
      return false;
    }
    record.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

void AppendFile::give_up(uint64_t size_before, int reason) {
  const bool restored = ftruncate(descriptor_, static_cast<off_t>(size_before)) == 0;
  if (lost_records_++ > 0) return;
  log_warning(path_.string(), ": cannot be written (", std::strerror(reason), "); the run goes on and its log has gaps",
              restored ? "" : " and a torn record");
}

}  // namespace hici
