// SPDX-License-Identifier: Apache-2.0
#include "hici/train/run_folder.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/is_there.h"
#include "hici/base/log.h"
#include "hici/io/checkpoint/manifest.h"
#include "hici/io/known_files.h"
#include "hici/train/best_checkpoint.h"
#include "hici/train/checkpoint_files.h"
#include "hici/train/metrics.h"
#include "hici/train/run_record.h"

#include <string>
#include <utility>
#include <vector>

namespace hici::train {
namespace {

// Fine-tuning from the weights of pre-training; its own checkpoints must be loadable without that directory.
void start_from_weights(const TrainingRunSpec& spec, ResumePoint& point) {
  const std::string name = point.checkpoint->string();
  const bool is_adapter = is_there(*point.checkpoint / "adapter_config.json");
  HICI_CHECK_USAGE(is_adapter || !spec.trainable.low_rank, "`resume_from_checkpoint`: ", name,
                   " is a whole model; give it as `model_name_or_path`, or use `low_rank_training` False");
  HICI_CHECK_USAGE(!is_adapter || spec.trainable.low_rank, "`resume_from_checkpoint`: ", name,
                   " is an adapter, which `low_rank_training` False cannot train; merge it into its base first");
  HICI_CHECK_USAGE(spec.init_adapter.empty(), "`resume_from_checkpoint`: ", name,
                   " is a checkpoint of pre-training, from whose weights fine-tuning would start, and `init_adapter` ",
                   spec.init_adapter.string(), " is another start; give one of them");
  log_info(name, ": is a checkpoint of pre-training after ", counted(point.state.step, "step"),
           "; fine-tuning starts from its weights, with a fresh optimizer");
  point.weights = std::exchange(point.checkpoint, std::nullopt);
  point.state = {};
}

ResumePoint find_resume_point(const TrainingRunSpec& spec) {
  ResumePoint point;
  if (spec.resume.empty()) return point;
  if (spec.resume == "latest") {
    point.checkpoint = io::find_latest_checkpoint(spec.output_dir);
    if (!point.checkpoint) log_info(spec.output_dir.string(), ": no whole checkpoint yet; starting from the beginning");
  } else {
    io::verify_checkpoint(spec.resume);
    point.checkpoint = spec.resume;
  }
  if (!point.checkpoint) return point;
  point.state = io::read_training_state(*point.checkpoint);
  if (spec.sft && !is_fine_tuning(point.state)) start_from_weights(spec, point);
  return point;
}

// Whether `path` is the run's folder, which stands for its newest checkpoint, or in one of its checkpoints.
bool is_in_checkpoints(const std::filesystem::path& path, const std::filesystem::path& output_dir) {
  std::error_code problem;
  const auto relative = std::filesystem::relative(path, output_dir, problem);
  if (path.empty() || problem || relative.empty()) return false;
  const std::string first = relative.begin()->string();
  return first == "." || first.starts_with("checkpoint-");
}

// Checkpoints of the old run are moved aside before the first step (RunRecord::begin()): none may be what this run
// starts from.
void check_nothing_is_needed(const TrainingRunSpec& spec, const ResumePoint& resume) {
  for (const auto& start : {spec.model, spec.init_adapter, resume.weights.value_or("")}) {
    HICI_CHECK_USAGE(!is_in_checkpoints(start, spec.output_dir), "`overwrite_output_dir`: ", start.string(),
                     " is what this run starts from, and would be moved aside; use another `output_dir`");
  }
}

// A new run must not mix its checkpoints with those of an old one.
void check_output_is_free(const TrainingRunSpec& spec, const ResumePoint& resume) {
  if (resume.checkpoint) {
    if (spec.overwrite_output)
      log_info("`overwrite_output_dir` has no effect: the run goes on from ", resume.checkpoint->string());
    return;
  }
  const auto old = io::find_latest_checkpoint(spec.output_dir);
  if (old && spec.overwrite_output) return check_nothing_is_needed(spec, resume);
  const bool is_start = old && resume.weights && std::filesystem::equivalent(*old, *resume.weights);
  HICI_CHECK(!old, spec.output_dir.string(), ": already holds ", old ? old->filename().string() : "", "; use ",
             is_start ? "" : "`resume_from_checkpoint` latest, `overwrite_output_dir` for a new run, or ",
             "another `output_dir`");
}

// Files of the run's own are written from the start, so that none of them is data.
const std::filesystem::path& checked_folder(const TrainingRunSpec& spec) {
  std::vector<std::filesystem::path> data{spec.data_path};
  for (const data::MixPart& part : spec.mix) data.emplace_back(part.path);
  if (spec.evaluation) data.push_back(spec.evaluation->data_path);
  for (const std::filesystem::path& path : data) {
    for (const char* name :
         {kOptionsName, RunLock::kFileName, MetricsWriter::kFileName, kBestCheckpointName, RunRecord::kSamplesName}) {
      std::error_code ignored;
      HICI_CHECK(!std::filesystem::equivalent(path, spec.output_dir / name, ignored), path.string(),
                 ": is a name that the run in ", spec.output_dir.string(),
                 " writes itself; give the data another name");
    }
  }
  return spec.output_dir;
}

// What RunFolder finds, without a trace.
ResumePoint look_at_folder(const TrainingRunSpec& spec) {
  RunLock::check_free(checked_folder(spec));
  ResumePoint resume = find_resume_point(spec);
  check_output_is_free(spec, resume);
  return resume;
}

}  // namespace

RunFolder::RunFolder(const TrainingRunSpec& spec)
    : lock(checked_folder(spec)), store(spec.output_dir, spec.train.save_total_limit) {
  store.clean_up();
  resume = find_resume_point(spec);
  check_output_is_free(spec, resume);
}

RunStart::RunStart(const TrainingRunSpec& spec, const parallel::World& world) {
  const std::string found = parallel::from_leader(world, [&] {
    if (!spec.dry_run) folder.emplace(spec);
    resume = folder ? folder->resume : look_at_folder(spec);
    const auto text_of = [](const auto& path) { return path ? path->string() : std::string(); };
    return text_of(resume.checkpoint) + '\0' + text_of(resume.weights);
  });
  if (world.is_leader()) return;
  const size_t end = found.find('\0');
  const std::string checkpoint = found.substr(0, end), weights = found.substr(end + 1);
  if (!weights.empty()) resume.weights = weights;
  if (checkpoint.empty()) return;
  HICI_CHECK(is_there(std::filesystem::path(checkpoint) / io::kManifestName), checkpoint,
             ": rank 0 goes on from this checkpoint, and rank ", world.rank(),
             " does not see it; use an `output_dir` on a file system that all processes share");
  resume.checkpoint = checkpoint;
  resume.state = io::read_training_state(checkpoint);
}

}  // namespace hici::train
