// SPDX-License-Identifier: Apache-2.0
#include "fuzz/fuzz_target.h"

#include <cstdlib>
#include <fstream>

namespace hici::fuzz {

ScratchFolder::ScratchFolder() {
  std::string pattern = (std::filesystem::temp_directory_path() / "hici-fuzz-XXXXXX").string();
  require(::mkdtemp(pattern.data()) != nullptr, "cannot make a folder for temporary files");
  path_ = pattern;
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path ScratchFolder::write(const std::string& name, std::string_view bytes) const {
  const std::filesystem::path path = path_ / name;
  std::filesystem::remove(path);  // ext4 waits for the disk when a file is cut to nothing and written again
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  require(file.flush().good(), "cannot write a temporary file");
  return path;
}

}  // namespace hici::fuzz
