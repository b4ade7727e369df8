// SPDX-License-Identifier: Apache-2.0
// One process writes in an output directory at a time: an exclusive lock on a small file in it, which the kernel lets
// go of when the process ends, however it ends. In a run of many processes rank 0 holds it.
#pragma once

#include "hici/base/output_place.h"

#include <filesystem>
#include <optional>

namespace hici {

class RunLock {
 public:
  // Makes the directory when it is not there and locks it; throws hici::Error that names the holder when another
  // process has it. On file systems without locks it only warns.
  explicit RunLock(const std::filesystem::path& directory);
  ~RunLock();
  RunLock(const RunLock&) = delete;
  RunLock& operator=(const RunLock&) = delete;

  // An error where the constructor would be one, without a trace.
  static void check_free(const std::filesystem::path& directory);

  static constexpr const char* kFileName = ".hici.lock";

 private:
  bool try_lock();
  void write_holder() const;

  std::optional<MadeFolders> folders_;
  std::filesystem::path file_;
  int descriptor_ = -1;
};

}  // namespace hici
