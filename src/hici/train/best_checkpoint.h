// SPDX-License-Identifier: Apache-2.0
// The checkpoint with the lowest evaluation loss, named in a file of the run's folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>

namespace hici::train {

constexpr const char* kBestCheckpointName = "best_checkpoint.json";

struct BestCheckpoint {
  int64_t step = 0;
  double eval_loss = 0;  // finite
};

// What the file says; nullopt without one. `eval_data` is the hash of the data set that its loss is of. Throws
// hici::Error for a file that is none of ours.
struct StoredBest {
  BestCheckpoint best;
  std::string eval_data;
};
std::optional<StoredBest> read_best_checkpoint(const std::filesystem::path& output_dir);
void write_best_checkpoint(const std::filesystem::path& output_dir, const StoredBest& best);

// That of a run that goes on from `step`: of what the file and the record (loss of each evaluation by its step) name,
// up to that step, the one of the lowest loss whose checkpoint is there.
std::optional<BestCheckpoint> best_at(const std::filesystem::path& output_dir, int64_t step,
                                      const std::optional<StoredBest>& stored,
                                      const std::map<int64_t, double>& evaluations);

}  // namespace hici::train
