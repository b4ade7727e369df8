// SPDX-License-Identifier: Apache-2.0
#include "hici/base/file.h"

#include "hici/base/error.h"
#include "hici/base/signals.h"
#include "hici/base/temporary.h"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace hici {
namespace {

constexpr size_t kMaxTransfer = size_t{1} << 30;  // Linux moves at most 2 GiB in one call

std::string reason(int error) { return std::strerror(error); }

// Closes on every way out.
struct Descriptor {
  int value = -1;
  explicit Descriptor(int descriptor) : value(descriptor) {}
  Descriptor(const fs::path& path, int flags) : value(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {}
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int release() { return std::exchange(value, -1); }
};

struct stat regular_file_status(const Descriptor& file, const fs::path& path) {
  struct stat status{};
  HICI_CHECK(::fstat(file.value, &status) == 0, path.string(), ": cannot read its size: ", reason(errno));
  HICI_CHECK(!S_ISDIR(status.st_mode), path.string(), ": is a directory, expected a file");
  HICI_CHECK(S_ISREG(status.st_mode), path.string(),
             ": is no regular file (a pipe or a device); copy it to disk first");
  return status;
}

int64_t modified_ns(const struct stat& status) {
  return int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

void read_exactly(int descriptor, const fs::path& path, uint64_t offset, void* out, size_t num_bytes) {
  auto* to = static_cast<char*>(out);
  for (size_t done = 0; done < num_bytes;) {
    const ssize_t n =
        ::pread(descriptor, to + done, std::min(num_bytes - done, kMaxTransfer), static_cast<off_t>(offset + done));
    if (n < 0 && errno == EINTR) continue;
    HICI_CHECK(n >= 0, path.string(), ": cannot read at byte ", offset + done, ": ", reason(errno));
    HICI_CHECK(n > 0, path.string(), ": ends at byte ", offset + done, ", expected ", num_bytes - done,
               " more; the file was cut short while it was read");
    done += static_cast<size_t>(n);
  }
}

// What a clone without Git LFS has in the place of a large file: three lines of text.
void check_is_no_pointer(const fs::path& path, std::string_view text) {
  constexpr std::string_view kStart = "version https://git-lfs.github.com/spec/v1";
  constexpr size_t kMaxPointer = 1024;  // as the specification says
  HICI_CHECK(text.size() > kMaxPointer || !text.starts_with(kStart), path.string(),
             ": is a Git LFS pointer, and not the file itself; run 'git lfs pull' in ",
             (path.has_parent_path() ? path.parent_path() : fs::path(".")).string(), ", or fetch the file again");
}

// The disk takes what is whole meanwhile, so that commit() has less to wait for. Only a hint: no error is one.
void begin_to_sync(int descriptor, uint64_t before, uint64_t now) {
  constexpr uint64_t kStretch = uint64_t{32} << 20;
  const uint64_t begin = before / kStretch * kStretch, end = now / kStretch * kStretch;
  if (begin < end)
    ::sync_file_range(descriptor, static_cast<off64_t>(begin), static_cast<off64_t>(end - begin),
                      SYNC_FILE_RANGE_WRITE);
}

}  // namespace

std::string read_file(const fs::path& path, size_t max_bytes, Links links) {
  const Descriptor file(open_for_reading(path, links));
  const struct stat status = regular_file_status(file, path);
  const auto size = static_cast<uint64_t>(status.st_size);
  HICI_CHECK(size <= max_bytes, path.string(), ": ", size, " bytes, more than the ", max_bytes,
             " allowed for a file of this kind");
  std::string text(size, '\0');
  read_exactly(file.value, path, 0, text.data(), text.size());
  check_is_no_pointer(path, text);
  return text;
}

std::string read_file(const fs::path& path, size_t max_bytes) { return read_file(path, max_bytes, Links::kAny); }

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

MappedFile::MappedFile(fs::path path) : MappedFile(std::move(path), Links::kAny) {}

MappedFile::MappedFile(fs::path path, Links links) : path_(std::move(path)) {
  Descriptor file(open_for_reading(path_, links));
  const struct stat status = regular_file_status(file, path_);
  size_ = static_cast<size_t>(status.st_size);
  modified_ns_ = modified_ns(status);
  std::string start(std::min(size_, size_t{1025}), '\0');
  read_exactly(file.value, path_, 0, start.data(), start.size());
  check_is_no_pointer(path_, start);
  if (size_ > 0) {  // mmap refuses an empty range
    void* address = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, file.value, 0);
    HICI_CHECK(address != MAP_FAILED, path_.string(), ": cannot map ", size_, " bytes: ", reason(errno));
    data_ = static_cast<const std::byte*>(address);
  }
  descriptor_ = file.release();
}

void MappedFile::close() noexcept {
  if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
  if (descriptor_ >= 0) ::close(descriptor_);
}

MappedFile::~MappedFile() { close(); }

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      modified_ns_(other.modified_ns_) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this == &other) return *this;
  close();
  path_ = std::move(other.path_);
  descriptor_ = std::exchange(other.descriptor_, -1);
  data_ = std::exchange(other.data_, nullptr);
  size_ = std::exchange(other.size_, 0);
  modified_ns_ = other.modified_ns_;
  return *this;
}

void MappedFile::copy(uint64_t offset, void* out, size_t num_bytes) const {
  HICI_ASSERT(offset <= size_ && num_bytes <= size_ - offset, path_.string(), ": bytes ", offset, " + ", num_bytes,
              " of ", size_);
  read_exactly(descriptor_, path_, offset, out, num_bytes);
}

void MappedFile::check_unchanged() const {
  struct stat status{};
  HICI_CHECK(::fstat(descriptor_, &status) == 0, path_.string(), ": cannot read its size: ", reason(errno));
  HICI_CHECK(static_cast<uint64_t>(status.st_size) == size_, path_.string(), ": was ", size_,
             " bytes when opened, now has ", status.st_size, "; another process is writing it");
  HICI_CHECK(modified_ns(status) == modified_ns_, path_.string(),
             ": was modified while it was read; another process is writing it");
}

}  // namespace hici
