// SPDX-License-Identifier: Apache-2.0
#include "hici/io/directory_writer.h"

#include "hici/base/error.h"
#include "hici/base/file.h"

#include <cerrno>
#include <cstdio>
#include <cstring>

#include <unistd.h>

namespace hici::io {
namespace {

constexpr size_t kMaxCopiedBytes = size_t{1} << 30;

// "out/" and "out" are the same directory.
fs::path without_trailing_slash(fs::path path) {
  return path.has_filename() || !path.has_parent_path() ? path : path.parent_path();
}

fs::path parent_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

}  // namespace

void check_is_vacant(const fs::path& path) {
  HICI_CHECK(!fs::exists(path) || (fs::is_directory(path) && fs::is_empty(path)), path.string(),
             ": exists and is not empty; choose another output directory, or remove it");
}

DirectoryWriter::DirectoryWriter(fs::path path, uint64_t needed_bytes)
    : path_(without_trailing_slash(std::move(path))), folder_(path_) {
  const uint64_t available = free_bytes(parent_of(path_));
  HICI_CHECK(available >= needed_bytes, path_.string(), ": needs ", needed_bytes, " bytes, the disk has ", available,
             " free; make room or choose another place");
  folder_ += ".tmp-" + std::to_string(::getpid());
  std::error_code error;
  fs::create_directories(parent_of(path_), error);
  if (!error) fs::create_directory(folder_, error);
  HICI_CHECK(!error, path_.string(), ": cannot create the directory: ", error.message());
}

DirectoryWriter::~DirectoryWriter() {
  std::error_code ignored;  // what cannot be removed keeps its temporary name
  if (!published_) fs::remove_all(folder_, ignored);
}

void DirectoryWriter::copy_if_there(const fs::path& file) {
  if (fs::exists(file))
    write_file_atomically(folder_ / file.filename(), read_file(file, kMaxCopiedBytes, Links::kCompanion));
}

void DirectoryWriter::publish() {
  sync_folder(folder_);
  // rename() replaces an empty directory and refuses a filled one, in one step.
  HICI_CHECK(std::rename(folder_.c_str(), path_.c_str()) == 0, path_.string(),
             ": cannot publish: ", std::strerror(errno), "; choose another output directory");
  published_ = true;
  sync_folder(parent_of(path_));
}

}  // namespace hici::io
