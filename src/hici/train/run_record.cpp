// SPDX-License-Identifier: Apache-2.0
#include "hici/train/run_record.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/is_there.h"
#include "hici/base/log.h"
#include "hici/base/signals.h"
#include "hici/train/record_file.h"
#include "hici/train/run_folder.h"

#include <nlohmann/json.hpp>

#include <array>
#include <chrono>
#include <cmath>
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
                     io::TrainingState identity, io::CheckpointStore& store, Sampler sampler)
    : spec_(spec),
      loaded_(loaded),
      trained_(trained),
      optimizer_(optimizer),
      identity_(std::move(identity)),
      store_(store),
      sampler_(std::move(sampler)) {}

TrainerEvents RunRecord::events() {
  TrainerEvents events;
  events.on_step = [this](const StepMetrics& m, bool logged) {
    seconds_ = m.seconds;
    logged ? metrics_->log(m) : metrics_->show(m);
  };
  events.on_segment = [this](StreamPass pass, int64_t done, int64_t total) { segments_.update(pass, done, total); };
  events.save = [this](const Progress& progress) {
    const CheckpointContent content = content_at(progress);
    const bool is_saved =
        store_.save(progress.step, checkpoint_bytes(content),
                    [&](const std::filesystem::path& folder) { write_checkpoint_files(folder, content); });
    if (!is_saved) return;
    saved_step_ = progress.step;
    position_ = progress.position;
    offer_as_best(progress.step);
  };
  events.on_evaluation_batches = [this](int64_t done, int64_t total) {
    if (!evaluating_) evaluating_.emplace("evaluation batches", total, ProgressUnit::kItems, kQuiet);
    evaluating_->update(done);
    if (done == total) evaluating_.reset();
  };
  events.on_evaluation = [this](const EvaluationMetrics& evaluation) {
    metrics_->log_evaluation(evaluation);
    last_evaluation_ = evaluation;
    offer_as_best(evaluation.step);
    if (sampler_) write_sample(evaluation.step);
  };
  return events;
}

SavesToCome RunRecord::check_room(const Progress& start, int64_t total_steps, bool evaluates) const {
  const SavesToCome to_come{checkpoint_bytes(content_at(start)),
                            saves_to_come(start.step, total_steps, spec_.train.save_steps)};
  store_.check_room(to_come.bytes_each, to_come.saves, evaluates);
  return to_come;
}

void RunRecord::begin(const Progress& start, int64_t total_steps, const std::string& eval_data) {
  check_room(start, total_steps, !eval_data.empty());
  write_file_atomically(spec_.output_dir / kOptionsName, options_text(spec_, loaded_, identity_));
  store_.set_aside_after(start.step);
  metrics_.emplace(spec_.output_dir, start.step, total_steps);
  if (sampler_) {
    const std::filesystem::path samples = spec_.output_dir / kSamplesName;
    prepare_record_file(samples, start.step);
    samples_.emplace(samples);
  }
  eval_data_ = eval_data;
  position_ = start.position;
  // A run may go on from a checkpoint of another folder.
  if (is_there(io::checkpoint_path(spec_.output_dir, start.step))) saved_step_ = start.step;
  find_best(start.step);
}

// The best of a run that goes on is the best of all its checkpoints; a new run has none yet, whatever another one left.
void RunRecord::find_best(int64_t step) {
  std::optional<StoredBest> stored = read_best_checkpoint(spec_.output_dir);
  if (!stored) return;
  const std::filesystem::path file = spec_.output_dir / kBestCheckpointName;
  const bool is_other = !eval_data_.empty() && stored->eval_data != eval_data_;
  if (is_other && step > 0)
    log_info(file.string(), ": is of other evaluation data; the best checkpoint is looked for from here on");
  if (step > 0 && !is_other) best_ = best_at(spec_.output_dir, step, stored, metrics_->evaluations());
  if (!best_) {
    std::filesystem::remove(file);
    return;
  }
  store_.keep(best_->step);
  write_best_checkpoint(spec_.output_dir, {*best_, stored->eval_data});
}

// No training run ends for want of a sample. One that a stop signal cut short is none.
void RunRecord::write_sample(int64_t step) {
  try {
    const Sample sample = sampler_();
    if (stop_requested() != 0) return;
    const auto text_of = [](const nlohmann::ordered_json& json) {
      return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    };
    samples_->append(text_of({{"step", step},
                              {"prompt", spec_.sample->prompt},
                              {"text", sample.text},
                              {"tokens", sample.tokens},
                              {"finish_reason", sample.finish_reason}}) +
                     "\n");
    log_info("step ", step, "  sample ", text_of(sample.text));
  } catch (const InternalError&) {
    throw;
  } catch (const Error& e) {
    log_warning("step ", step, ": no sample: ", e.what());
  }
}

// The file names a checkpoint that is there at any moment: the one before may go once it names the new one.
void RunRecord::offer_as_best(int64_t step) {
  if (!last_evaluation_ || last_evaluation_->step != step || saved_step_ != step || step == 0) return;
  const double loss = last_evaluation_->loss;
  if (!std::isfinite(loss) || (best_ && loss >= best_->eval_loss)) return;
  try {
    write_best_checkpoint(spec_.output_dir, {{step, loss}, eval_data_});
    best_ = {step, loss};
    store_.keep(step);
    store_.rotate();
  } catch (const InternalError&) {
    throw;
  } catch (const Error& e) {  // a full disk: the one before stays the best
    log_warning(e.what());
  }
}

void RunRecord::finish() {
  evaluating_.reset();
  segments_.finish();
  metrics_->finish();
}

CheckpointContent RunRecord::content_at(const Progress& progress) const {
  return {loaded_, spec_, trained_, optimizer_, state_at(identity_, progress)};
}

}  // namespace hici::train
