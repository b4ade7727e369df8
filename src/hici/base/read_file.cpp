// SPDX-License-Identifier: Apache-2.0
#include "hici/base/read_file.h"

#include "hici/base/descriptor.h"
#include "hici/base/error.h"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <sys/mman.h>
#include <sys/stat.h>

namespace hici {
namespace {

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
