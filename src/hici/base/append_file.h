// SPDX-License-Identifier: Apache-2.0
// A log file that records are appended to. A record is in the file whole or not at all (as long as the process lives),
// so that a disk that is full for a while costs records and never makes the rest unreadable.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace hici {

class AppendFile {
 public:
  // kAlone: by one process at a time, as far as the file system has locks.
  enum class Open { kAppend, kMustBeNew, kAlone };

  // Opens for appending, made when not there; throws hici::Error when that fails, or for a link.
  explicit AppendFile(std::filesystem::path path, Open open = Open::kAppend);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  // Hands the record to the kernel (no buffer here: a killed process loses nothing). When the disk has no room, takes
  // the torn part back, warns the first time, and returns false: a lost log line is no reason to end a training run.
  bool append(std::string_view record);

  const std::filesystem::path& path() const { return path_; }
  int64_t lost_records() const { return lost_records_; }

 private:
  void give_up(uint64_t size_before, int reason);

  std::filesystem::path path_;
  int descriptor_ = -1;
  int64_t lost_records_ = 0;
};

}  // namespace hici
