// SPDX-License-Identifier: Apache-2.0
// An open file of the system, for the .cpp files that read and write files.
#pragma once

#include <cstddef>
#include <cstring>
#include <filesystem>
#include <string>
#include <utility>

#include <fcntl.h>
#include <unistd.h>

namespace hici {

constexpr size_t kMaxTransfer = size_t{1} << 30;  // Linux moves at most 2 GiB in one call

inline std::string reason(int error) { return std::strerror(error); }

// Closes on every way out.
struct Descriptor {
  int value = -1;
  explicit Descriptor(int descriptor) : value(descriptor) {}
  Descriptor(const std::filesystem::path& path, int flags) : value(::open(path.c_str(), flags | O_CLOEXEC, 0666)) {}
  ~Descriptor() {
    if (value >= 0) ::close(value);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int release() { return std::exchange(value, -1); }
};

}  // namespace hici
