// SPDX-License-Identifier: Apache-2.0
// The checkpoints of an output directory: `checkpoint-N/` appears under its name only when every byte of it is on disk
// (written beside it under a temporary one, synced, manifest last, one rename), the newest whole one is found again,
// old ones are rotated out, broken ones are named and left alone. One process uses the directory at a time
// (base/run_lock.h).
#pragma once

#include "hici/base/temporary.h"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace hici::io {

// Bytes that may still be written where the path is.
using FreeBytes = std::function<uint64_t(const std::filesystem::path&)>;

// One checkpoint on its way: files are written to folder(), a new folder (base/temporary.h); publish() gives it its
// name. Without publish() the folder is removed.
class CheckpointWriter {
 public:
  CheckpointWriter(const std::filesystem::path& output_dir, int64_t step);

  // Plain files only, each with at least one byte. Many ranks may write here; one of them publishes, after all have
  // written.
  const std::filesystem::path& folder() const { return folder_.path(); }
  // A checkpoint of that name that is there already (a broken one that was skipped) is moved aside. Returns the bytes
  // of the files.
  uint64_t publish();

  int64_t step() const { return step_; }
  double seconds() const;  // since it was begun

 private:
  std::filesystem::path final_;
  WorkingFolder folder_;
  int64_t step_;
  std::chrono::steady_clock::time_point begun_ = std::chrono::steady_clock::now();
};

class CheckpointStore {
 public:
  // `save_total_limit`: how many checkpoints rotation leaves, 0 for all.
  explicit CheckpointStore(std::filesystem::path output_dir, int64_t save_total_limit = 0, FreeBytes free_bytes = {});

  // Removes leftovers of killed processes: checkpoints that were being written or deleted, and partial files. Files
  // that a live process is writing stay, and so does everything without a temporary name of hici. Earlier versions used
  // the names checkpoint-N.tmp and checkpoint-N.deleting, which other programs may use too. A folder with such a name
  // is removed only if it holds nothing but files of a checkpoint; a line names the others.
  void clean_up() const;

  // To be called before the first step: checks the disk for a run with `saves` checkpoints of `bytes_each`. An error
  // without room for the first one, or for the number that --save_total_limit needs at once (an old one is deleted
  // after the new one is complete). A warning if all are to be kept and do not fit.
  // With `keeps_best` one of them may be that of keep().
  void check_room(uint64_t bytes_each, int64_t saves, bool keeps_best = false) const;

  // A checkpoint has three steps, so that several processes can write one. One process begins, all write files into
  // folder() of the writer, and one publishes after all have written. Each step may throw an hici::Error; the caller
  // then calls count_failure().
  //
  // Creates the folder. A disk without room for `bytes_needed` is an error.
  CheckpointWriter begin(int64_t step, uint64_t bytes_needed) const;
  // Renames the checkpoint to its final name, logs that, and rotates.
  void publish(CheckpointWriter& writer);
  // Logs the fault and the bytes needed, and counts the failure. Old checkpoints are unchanged and training continues.
  void count_failure(int64_t step, uint64_t bytes_needed, const std::string& fault);

  // The three steps in one process, with `write_files(folder)`. False if a full disk or another hici::Error was counted
  // as a failure. Does not catch InternalError.
  bool save(int64_t step, uint64_t bytes_needed, const std::function<void(const std::filesystem::path&)>& write_files);

  // Number of failed saves, for the exit code of the run.
  int64_t failed_saves() const { return failed_saves_; }

  // Deletes the oldest valid checkpoints until `save_total_limit` are left. Never deletes the newest valid one, the one
  // of keep(), or a broken one: so two stay with a limit of 1.
  void rotate();
  // The checkpoint that rotation leaves however old it is, in place of the one before.
  void keep(int64_t step) { kept_step_ = step; }

  // Renames checkpoints after `step`, so that a run which returned to an earlier one does not find them again.
  void set_aside_after(int64_t step) const;

 private:
  void name_strangers() const;
  void check_space(int64_t step, uint64_t bytes_needed) const;

  std::filesystem::path output_dir_;
  int64_t save_total_limit_;
  FreeBytes free_bytes_;
  int64_t failed_saves_ = 0;
  int64_t kept_step_ = -1;
  std::set<int64_t> reported_;  // broken checkpoints that rotation has named
};

// The leftovers that clean_up() would consider in a directory, and whether each is in use.
std::vector<Leftover> leftovers_of_run(const std::filesystem::path& output_dir);

std::filesystem::path checkpoint_path(const std::filesystem::path& output_dir, int64_t step);

// The valid checkpoint with the highest step, if any. Logs every broken one that it skips.
std::optional<std::filesystem::path> find_latest_checkpoint(const std::filesystem::path& output_dir);

}  // namespace hici::io
