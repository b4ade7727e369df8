// SPDX-License-Identifier: Apache-2.0
#include "hici/io/checkpoint/store.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/human.h"
#include "hici/base/log.h"
#include "hici/io/checkpoint/manifest.h"
#include "hici/io/known_files.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

namespace hici::io {
namespace {

constexpr std::string_view kPrefix = "checkpoint-";
constexpr std::string_view kAside = ".aside";
constexpr uint64_t kManifestRoom = uint64_t{64} << 10;  // the manifest, the folder, and what files leave of a block

struct FoundCheckpoint {
  int64_t step = 0;
  fs::path path;
};

fs::path with_suffix(fs::path path, std::string_view suffix) { return path += suffix; }

// Newest first.
std::vector<FoundCheckpoint> list_checkpoints(const fs::path& output_dir) {
  std::vector<FoundCheckpoint> found;
  if (!fs::is_directory(output_dir)) return found;
  for (const fs::directory_entry& entry : fs::directory_iterator(output_dir)) {
    const std::optional<int64_t> step = checkpoint_step_of_name(entry.path().filename().string());
    if (step && entry.is_directory()) found.push_back({*step, entry.path()});
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) { return a.step > b.step; });
  return found;
}

// What is wrong with a checkpoint, "" for a whole one.
std::string fault_of(const FoundCheckpoint& checkpoint, VerifyDepth depth) {
  try {
    verify_checkpoint(checkpoint.path, depth);
    return "";
  } catch (const std::runtime_error& e) {  // hici::Error, and std::filesystem_error of a folder without permission
    return e.what();
  }
}

void sync_file(const fs::path& path) {
  const int descriptor = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const bool is_synced = descriptor >= 0 && fsync(descriptor) == 0;
  const int reason = errno;
  if (descriptor >= 0) close(descriptor);
  HICI_CHECK(is_synced, path.string(), ": cannot sync: ", std::strerror(reason));
}

void rename_or_fail(const fs::path& from, const fs::path& to) {
  std::error_code error;
  fs::rename(from, to, error);
  HICI_CHECK(!error, from.string(), ": cannot rename to ", to.filename().string(), ": ", error.message());
}

const fs::path& made_folder(const fs::path& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  HICI_CHECK(!error, folder.string(), ": cannot make this directory: ", error.message());
  return folder;
}

// Under a name that find_latest_checkpoint does not look at, but people do.
void move_aside(const fs::path& checkpoint) {
  for (int number = 1;; ++number) {
    const fs::path aside = with_suffix(checkpoint, detail::concat(kAside, "-", number));
    if (fs::exists(aside)) continue;
    rename_or_fail(checkpoint, aside);
    log_warning(checkpoint.string(), ": moved aside to ", aside.filename().string());
    return;
  }
}

// Gone from its name at once: a process killed while it deletes leaves nothing that looks like a checkpoint.
void delete_checkpoint(const fs::path& checkpoint) {
  const WorkingFolder doomed(checkpoint);  // removed with the checkpoint in it
  rename_or_fail(checkpoint, doomed.path() / checkpoint.filename());
  sync_folder(checkpoint.parent_path());
}

// As earlier versions called a checkpoint on its way in or out.
bool is_former_name(const fs::path& path) {
  const std::string extension = path.extension().string();
  return checkpoint_step_of_name(path.stem().string()) && (extension == ".tmp" || extension == ".deleting");
}

bool is_former_folder(const fs::directory_entry& entry) {
  return entry.is_directory() && !entry.is_symlink() && is_former_name(entry.path());
}

// checkpoint-N.hici-tmp-... or one of the former names.
bool is_checkpoint_folder(const fs::path& path) {
  std::error_code ignored;
  return fs::is_directory(fs::symlink_status(path, ignored)) &&
         checkpoint_step_of_name(path.stem().string()).has_value();
}

// True when a process of this machine certainly holds it.
bool is_locked(const fs::path& folder) {
  const int descriptor = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (descriptor < 0) return false;
  const bool is_held = flock(descriptor, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  close(descriptor);
  return is_held;
}

void remove_checkpoint_folder(const fs::path& folder) {
  std::error_code error;
  fs::remove_all(folder, error);
  if (error) {
    log_warning(folder.string(), ": cannot be removed (", error.message(), ")");
  } else {
    log_info(folder.string(), ": left by a process that ended early, removed");
  }
}

// The message of what went wrong, "" when nothing did. Bugs pass through.
std::string failure_of(const std::function<void()>& work) {
  try {
    work();
    return "";
  } catch (const InternalError&) {
    throw;
  } catch (const Error& e) {
    return e.what();
  } catch (const fs::filesystem_error& e) {
    return detail::concat(e.path1().string(), ": ", e.code().message());
  }
}

}  // namespace

CheckpointWriter::CheckpointWriter(const fs::path& output_dir, int64_t step)
    : final_(checkpoint_path(made_folder(output_dir), step)), folder_(final_), step_(step) {}

double CheckpointWriter::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun_).count();
}

uint64_t CheckpointWriter::publish() {
  const CheckpointManifest manifest = manifest_of_folder(folder(), step_);
  for (const ManifestFile& file : manifest.files) sync_file(folder() / file.name);
  write_file_atomically(folder() / kManifestName, manifest_text(manifest));  // syncs itself and the folder
  if (fs::exists(final_)) move_aside(final_);
  HICI_CHECK(folder_.rename_to(final_), final_.string(), ": cannot publish: ", std::strerror(errno));
  sync_folder(final_.parent_path());
  uint64_t bytes = 0;
  for (const ManifestFile& file : manifest.files) bytes += file.size_bytes;
  return bytes;
}

CheckpointStore::CheckpointStore(fs::path output_dir, int64_t save_total_limit, FreeBytes free_bytes)
    : output_dir_(std::move(output_dir)),
      save_total_limit_(save_total_limit),
      free_bytes_(free_bytes ? std::move(free_bytes) : FreeBytes(hici::free_bytes)) {
  HICI_CHECK_USAGE(save_total_limit_ >= 0, "`save_total_limit`: ", save_total_limit_,
                   " is negative; use 0 to keep all checkpoints");
}

std::vector<Leftover> leftovers_of_run(const fs::path& output_dir) {
  std::vector<Leftover> found = leftovers_in(output_dir);
  std::error_code error;
  for (fs::directory_iterator at(output_dir, error), end; !error && at != end; at.increment(error)) {
    if (is_former_folder(*at) && holds_only_checkpoint_files(at->path()))
      found.push_back({at->path(), is_in_use(at->path())});
  }
  return found;
}

void CheckpointStore::name_strangers() const {
  std::error_code error;
  for (fs::directory_iterator at(output_dir_, error), end; !error && at != end; at.increment(error)) {
    if (is_former_folder(*at) && !holds_only_checkpoint_files(at->path()))
      log_info(at->path().string(),
               ": is named like what an earlier hici left of a checkpoint, and holds other files; it stays");
  }
}

void CheckpointStore::clean_up() const {
  name_strangers();
  const std::vector<Leftover> leftovers = leftovers_of_run(output_dir_);
  remove_leftovers(leftovers);
  // On a network file system nobody can tell by a folder's own lock; but only the process that holds the run's makes
  // checkpoints here, and that is this one.
  for (const Leftover& leftover : leftovers) {
    if (leftover.is_in_use && is_checkpoint_folder(leftover.path) && !is_locked(leftover.path))
      remove_checkpoint_folder(leftover.path);
  }
}

void CheckpointStore::check_room(uint64_t bytes_each, int64_t saves, bool keeps_best) const {
  if (saves == 0) return;
  int64_t there = 0;
  for (const FoundCheckpoint& checkpoint : list_checkpoints(output_dir_))
    if (fault_of(checkpoint, VerifyDepth::kSizes).empty()) ++there;
  const int64_t most = std::max<int64_t>(save_total_limit_, keeps_best ? 2 : 1);
  const int64_t at_once = save_total_limit_ == 0 ? saves : std::min(saves, std::max<int64_t>(1, most + 1 - there));
  const uint64_t available = free_bytes_(output_dir_);
  const auto room = static_cast<int64_t>(available / (bytes_each + kManifestRoom));
  if (room >= at_once) return;
  const std::string facts = detail::concat(output_dir_.string(), ": a checkpoint takes ", bytes_each, " bytes (",
                                           human_bytes(static_cast<int64_t>(bytes_each)), "), the disk has ", available,
                                           " free (", human_bytes(static_cast<int64_t>(available)), ")");
  HICI_CHECK(room > 0, facts, ", room for none; make room, or use an `output_dir` on another disk");
  HICI_CHECK(save_total_limit_ == 0, facts, ", and `save_total_limit` ", save_total_limit_, " takes ", at_once,
             " more at once, as an old one goes when the new one is there; make room, or use ",
             room + there > 1 ? detail::concat("`save_total_limit` ", room + there - 1) : "`save_steps` 0");
  log_warning(facts, ", room for ", room, " of ", counted(saves, "checkpoint"), "; ",
              room > 1 ? detail::concat("use `save_total_limit` ", room - 1) : "use `save_steps` 0 (only at the end)",
              ", or the later ones are lost");
}

CheckpointWriter CheckpointStore::begin(int64_t step, uint64_t bytes_needed) const {
  check_space(step, bytes_needed);
  return {output_dir_, step};
}

void CheckpointStore::publish(CheckpointWriter& writer) {
  const uint64_t written = writer.publish();
  log_info("saved ", checkpoint_path(output_dir_, writer.step()).string(), ": ",
           human_bytes(static_cast<int64_t>(written)), " in ", short_duration(writer.seconds()));
  const std::string fault = failure_of([&] { rotate(); });
  if (!fault.empty()) log_warning(fault, "; old checkpoints stay");
}

void CheckpointStore::count_failure(int64_t step, uint64_t bytes_needed, const std::string& fault) {
  ++failed_saves_;
  log_warning(fault);
  log_warning(checkpoint_path(output_dir_, step).string(), ": not saved, it needs ", bytes_needed, " bytes (",
              human_bytes(static_cast<int64_t>(bytes_needed)),
              "); earlier checkpoints are untouched and the run goes on");
}

bool CheckpointStore::save(int64_t step, uint64_t bytes_needed,
                           const std::function<void(const fs::path&)>& write_files) {
  const std::string fault = failure_of([&] {
    CheckpointWriter writer = begin(step, bytes_needed);
    write_files(writer.folder());
    publish(writer);
  });
  if (!fault.empty()) count_failure(step, bytes_needed, fault);
  return fault.empty();
}

void CheckpointStore::check_space(int64_t step, uint64_t bytes_needed) const {
  const uint64_t available = free_bytes_(output_dir_);
  HICI_CHECK(available >= bytes_needed + kManifestRoom, checkpoint_path(output_dir_, step).string(), ": needs ",
             bytes_needed, " bytes, the disk has ", available, " free; make room or set a lower `save_total_limit`");
}

void CheckpointStore::rotate() {
  if (save_total_limit_ == 0) return;
  const std::vector<FoundCheckpoint> found = list_checkpoints(output_dir_);
  const bool has_kept = std::any_of(found.begin(), found.end(), [&](const auto& each) {
    return each.step == kept_step_ && fault_of(each, VerifyDepth::kSizes).empty();
  });
  int64_t kept = has_kept ? 1 : 0;
  bool has_newest = false;
  for (const FoundCheckpoint& checkpoint : found) {
    if (has_kept && checkpoint.step == kept_step_) {
      has_newest = true;
      continue;
    }
    if (kept < save_total_limit_ || !has_newest) {
      // A broken one must not push out a whole one, so it does not count; sizes are a cheap look for that.
      if (!fault_of(checkpoint, VerifyDepth::kSizes).empty()) continue;
      ++kept;
      has_newest = true;
      continue;
    }
    const std::string fault = fault_of(checkpoint, VerifyDepth::kHashes);
    if (fault.empty()) {
      delete_checkpoint(checkpoint.path);
    } else if (reported_.insert(checkpoint.step).second) {
      log_warning(fault, "; ", checkpoint.path.filename().string(), " is broken and not deleted");
    }
  }
}

void CheckpointStore::set_aside_after(int64_t step) const {
  for (const FoundCheckpoint& checkpoint : list_checkpoints(output_dir_)) {
    if (checkpoint.step > step) move_aside(checkpoint.path);
  }
}

fs::path checkpoint_path(const fs::path& output_dir, int64_t step) {
  return output_dir / detail::concat(kPrefix, step);
}

std::optional<fs::path> find_latest_checkpoint(const fs::path& output_dir) {
  for (const FoundCheckpoint& checkpoint : list_checkpoints(output_dir)) {
    const std::string fault = fault_of(checkpoint, VerifyDepth::kHashes);
    if (fault.empty()) return checkpoint.path;
    log_warning(fault, "; ", checkpoint.path.filename().string(), " is skipped");
  }
  return std::nullopt;
}

}  // namespace hici::io
