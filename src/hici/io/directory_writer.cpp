// SPDX-License-Identifier: Apache-2.0
#include "hici/io/directory_writer.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/is_there.h"

#include <cerrno>
#include <cstring>

namespace hici::io {
namespace {

constexpr size_t kMaxCopiedBytes = size_t{1} << 30;

}  // namespace

DirectoryWriter::DirectoryWriter(const fs::path& path, uint64_t needed_bytes) : path_(without_last_slash(path)) {
  check_new_folder(path_);
  const uint64_t available = free_bytes(folder_of(path_));
  HICI_CHECK(available >= needed_bytes, path_.string(), ": needs ", needed_bytes, " bytes, the disk has ", available,
             " free; make room or choose another place");
  parents_.emplace(folder_of(path_));
  remove_leftovers(leftovers_of(path_));
  folder_.emplace(path_);
}

void DirectoryWriter::copy_if_there(const fs::path& file) {
  if (is_there(file))
    write_file_atomically(folder() / file.filename(), read_file(file, kMaxCopiedBytes, Links::kCompanion));
}

void DirectoryWriter::copy_folder_if_there(const fs::path& folder_to_copy) {
  if (!fs::is_directory(folder_to_copy)) return;
  const fs::path target = folder() / folder_to_copy.filename();
  fs::create_directory(target);
  for (const auto& entry : fs::directory_iterator(folder_to_copy))
    if (entry.is_regular_file())
      write_file_atomically(target / entry.path().filename(),
                            read_file(entry.path(), kMaxCopiedBytes, Links::kCompanion));
  sync_folder(target);
}

void DirectoryWriter::publish() {
  sync_folder(folder());
  // rename() replaces an empty directory and refuses a filled one, in one step.
  HICI_CHECK(folder_->rename_to(path_), path_.string(), ": cannot publish: ", std::strerror(errno),
             "; choose another output directory");
  folder_.reset();
  sync_folder(folder_of(path_));
}

}  // namespace hici::io
