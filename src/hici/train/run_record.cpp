// SPDX-License-Identifier: Apache-2.0
#include "hici/train/run_record.h"

#include "hici/base/file.h"
#include "hici/train/run_folder.h"

#include <array>
#include <chrono>
#include <map>
#include <string>
#include <utility>

namespace hici::train {
namespace {

constexpr std::array<const char*, 2> kPassNames{"segments read (pass 1 of 2)", "segments learned (pass 2 of 2)"};
constexpr std::chrono::seconds kQuiet{3};

std::string options_text(const TrainingRunSpec& spec, const io::LoadedModel& loaded, const io::TrainingState& run) {
  std::map<std::string, std::string> in_force = options_of_model(spec, loaded);
  in_force.insert(run.start_options.begin(), run.start_options.end());
  return spec.effective_options(in_force);
}

// Checkpoints that a run from `start` to `total` makes: at every multiple of save_steps, and at the end.
int64_t saves_to_come(int64_t start, int64_t total, int64_t save_steps) {
  if (start >= total) return 0;
  if (save_steps == 0) return 1;
  return total / save_steps - start / save_steps + (total % save_steps == 0 ? 0 : 1);
}

}  // namespace

void SegmentProgress::update(StreamPass pass, int64_t done, int64_t total) {
  if (done == 1) line_.emplace(kPassNames[static_cast<size_t>(pass)], total, ProgressUnit::kItems, kQuiet);
  line_->update(done);
  if (done == total) finish();
}

RunRecord::RunRecord(const TrainingRunSpec& spec, const io::LoadedModel& loaded,
                     const std::vector<optim::TrainedParameter>& trained, const OptimizerState& optimizer,
                     io::TrainingState identity, io::CheckpointStore& store)
    : spec_(spec),
      loaded_(loaded),
      trained_(trained),
      optimizer_(optimizer),
      identity_(std::move(identity)),
      store_(store) {}

TrainerEvents RunRecord::events() {
  TrainerEvents events;
  events.on_step = [this](const StepMetrics& m, bool logged) {
    seconds_ = m.seconds;
    logged ? metrics_->log(m) : metrics_->show(m);
  };
  events.on_segment = [this](StreamPass pass, int64_t done, int64_t total) { segments_.update(pass, done, total); };
  events.save = [this](const Progress& progress) {
    const CheckpointContent content = content_at(progress);
    store_.save(progress.step, checkpoint_bytes(content),
                [&](const std::filesystem::path& folder) { write_checkpoint_files(folder, content); });
  };
  return events;
}

void RunRecord::begin(const Progress& start, int64_t total_steps) {
  store_.check_room(checkpoint_bytes(content_at(start)),
                    saves_to_come(start.step, total_steps, spec_.train.save_steps));
  write_file_atomically(spec_.output_dir / kOptionsName, options_text(spec_, loaded_, identity_));
  store_.set_aside_after(start.step);
  metrics_.emplace(spec_.output_dir, start.step, total_steps);
}

void RunRecord::finish() {
  segments_.finish();
  metrics_->finish();
}

CheckpointContent RunRecord::content_at(const Progress& progress) const {
  return {loaded_, spec_, trained_, optimizer_, state_at(identity_, progress)};
}

}  // namespace hici::train
