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

  // Removes what dead processes left here: checkpoints on their way in or out, and half-written files. What a process
  // that lives is writing stays, and so does everything that is not called as we call such things. Earlier versions
  // called them checkpoint-N.tmp and checkpoint-N.deleting, as others may: there only what holds nothing but files of a
  // checkpoint goes, and a line names the rest.
  void clean_up() const;

  // Before the first step: whether the disk has room for what a run that makes `saves` checkpoints of `bytes_each` will
  // keep. An error when there is none for the first one, or fewer than --save_total_limit needs at once (an old one
  // goes when the new one is there); a warning when all of them are to be kept and will not fit.
  void check_room(uint64_t bytes_each, int64_t saves) const;

  // A checkpoint in three steps, so that several processes can write one: one of them begins, all write files into
  // folder() of what begin() returns, one publishes when all have written. Each step throws hici::Error; then
  // count_failure() says so.
  //
  // Makes the folder. An error where the disk has no room for `bytes_needed`.
  CheckpointWriter begin(int64_t step, uint64_t bytes_needed) const;
  // Gives the checkpoint its name, says so, and rotates.
  void publish(CheckpointWriter& writer);
  // Says what happened and the bytes needed, and counts it. The old checkpoints are as they were and training goes on.
  void count_failure(int64_t step, uint64_t bytes_needed, const std::string& fault);

  // The three steps in one process, with `write_files(folder)`. False when a full disk, or any other hici::Error, was
  // counted as a failure. Bugs (InternalError) pass through.
  bool save(int64_t step, uint64_t bytes_needed, const std::function<void(const std::filesystem::path&)>& write_files);

  // Saves that failed; the exit code of the run tells.
  int64_t failed_saves() const { return failed_saves_; }

  // Deletes the oldest whole checkpoints until `save_total_limit` are left. Never the newest whole one, never a broken
  // one.
  void rotate();

  // Renames checkpoints after `step`, so that a run which went back to an earlier one does not find them again.
  void set_aside_after(int64_t step) const;

 private:
  void name_strangers() const;
  void check_space(int64_t step, uint64_t bytes_needed) const;

  std::filesystem::path output_dir_;
  int64_t save_total_limit_;
  FreeBytes free_bytes_;
  int64_t failed_saves_ = 0;
  std::set<int64_t> reported_;  // broken checkpoints that rotation has named
};

// What clean_up() would look at in a directory, and whether each is in use.
std::vector<Leftover> leftovers_of_run(const std::filesystem::path& output_dir);

std::filesystem::path checkpoint_path(const std::filesystem::path& output_dir, int64_t step);

// The checkpoint with the highest step that is whole, if there is one; names every broken one that it skips.
std::optional<std::filesystem::path> find_latest_checkpoint(const std::filesystem::path& output_dir);

}  // namespace hici::io
