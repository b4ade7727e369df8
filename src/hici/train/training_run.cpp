// SPDX-License-Identifier: Apache-2.0
#include "hici/train/training_run.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/human.h"
#include "hici/base/is_there.h"
#include "hici/base/log.h"
#include "hici/base/progress.h"
#include "hici/base/run_lock.h"
#include "hici/base/signals.h"
#include "hici/config/divides.h"
#include "hici/io/checkpoint_manifest.h"
#include "hici/io/checkpoint_store.h"
#include "hici/io/load_model.h"
#include "hici/train/checkpoint_files.h"
#include "hici/train/metrics.h"
#include "hici/train/run_messages.h"
#include "hici/train/segment_streaming.h"
#include "hici/train/step_plan.h"
#include "hici/train/trainer.h"
#include "hici/train/training_data.h"

#include <ATen/ATen.h>

#include <array>
#include <utility>

namespace hici::train {
namespace {

// Where this run starts from: nothing, or a checkpoint that was found and verified.
struct ResumePoint {
  std::optional<std::filesystem::path> checkpoint;  // to go on from
  std::optional<std::filesystem::path> weights;     // of pre-training, to start fine-tuning from
  io::TrainingState state;
};

// Fine-tuning from the weights of pre-training; its own checkpoints must be loadable without that directory.
void start_from_weights(const TrainingRunSpec& spec, ResumePoint& point) {
  const std::string name = point.checkpoint->string();
  const bool is_adapter = is_there(*point.checkpoint / "adapter_config.json");
  HICI_CHECK_USAGE(is_adapter || !spec.trainable.low_rank, "--resume_from_checkpoint: ", name,
                   " is a whole model; give it as --model_name_or_path, or use --low_rank_training False");
  HICI_CHECK_USAGE(!is_adapter || spec.trainable.low_rank, "--resume_from_checkpoint: ", name,
                   " is an adapter, which --low_rank_training False cannot train; merge it into its base first");
  HICI_CHECK_USAGE(spec.init_adapter.empty(), "--resume_from_checkpoint: ", name,
                   " is a checkpoint of pre-training, from whose weights fine-tuning would start, and --init_adapter ",
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

// A new run must not mix its checkpoints with those of an old one.
void check_output_is_free(const TrainingRunSpec& spec, const ResumePoint& resume) {
  if (resume.checkpoint) return;
  const auto old = io::find_latest_checkpoint(spec.output_dir);
  const bool is_start = old && resume.weights && std::filesystem::equivalent(*old, *resume.weights);
  HICI_CHECK(!old, spec.output_dir.string(), ": already holds ", old ? old->filename().string() : "", "; use ",
             is_start ? "" : "--resume_from_checkpoint latest, or ", "another --output_dir");
}

void check_segments(const TrainingRunSpec& spec, const config::HiciConfig& hici) {
  if (spec.sft || spec.attention == nn::AttentionKind::kFull) return;  // sft: they follow from --sft_segment_length
  config::check_divides("--num_chunks", hici.num_segments, "--model_max_length", spec.train.sequence_length);
}

io::LoadedModel load_for_training(const TrainingRunSpec& spec, const ResumePoint& resume) {
  io::ModelRequest request;
  const auto start = resume.checkpoint ? resume.checkpoint : resume.weights;
  const bool starts_whole = start && !spec.trainable.low_rank;
  request.base = starts_whole ? *start : spec.model;
  if (!starts_whole) request.adapter = start.value_or(spec.init_adapter);
  request.dtype = spec.dtype;
  request.device = spec.device;
  request.context_size = spec.train.sequence_length;
  request.fresh_hierarchy = spec.attention == nn::AttentionKind::kHici;
  if (spec.trainable.low_rank) request.lora = spec.lora;
  request.copy_attention_init = spec.copy_attention_init;
  const auto pad = resume.state.start_options.find("add_pad_token");  // the checkpoint's, where it is known
  const bool has_pad = pad != resume.state.start_options.end() ? pad->second == "True" : spec.add_pad_token;
  request.add_pad_token = has_pad && !starts_whole;  // a whole one has the row
  request.seed = spec.train.seed;
  request.warns_of_other_base = !resume.checkpoint;  // check_resumable() refuses it
  // Called when the configs are read and no weight is.
  request.resolve_hici = [&spec](config::Family family, const io::StoredHici& stored) {
    const config::HiciConfig hici = spec.resolve_hici(family, stored);
    if (spec.train.stream_segments) check_streamable(spec.attention, hici);
    check_segments(spec, hici);
    return hici;
  };
  io::LoadedModel loaded = io::load_model(request);
  HICI_CHECK_USAGE(spec.trainable.low_rank || !loaded.lora, "--init_adapter: ", spec.init_adapter.string(),
                   " is an adapter, which --low_rank_training False cannot train; merge it into its base first");
  return loaded;
}

// What this run is, for its checkpoints. One that goes on must be what its checkpoint was.
io::TrainingState settle_run(const TrainingRunSpec& spec, const ResumePoint& resume, const io::LoadedModel& loaded,
                             const TrainingData& data) {
  io::warn_of_foreign_tokens(spec.data_path.string(), data.tokenizer_sha256, spec.model.string(), loaded);
  io::TrainingState run = describe_run(spec, loaded, data);
  io::TrainingState saved = resume.state;
  saved.start_options = start_options_in_force(spec, loaded, resume.checkpoint ? &resume.state : nullptr);
  if (resume.checkpoint)
    io::check_resumable(*resume.checkpoint, saved, run, spec.allow_changes_on_resume, "--allow_changes_on_resume");
  for (const auto& [name, value] : run.start_options) {  // an adapter to start from decides rank and scale
    const std::string& in_force = saved.start_options.emplace(name, value).first->second;
    HICI_CHECK_USAGE(value == in_force, "--", name, ": ", value, " contradicts the adapter, which has ", in_force,
                     "; leave the option out");
  }
  run.start_options = saved.start_options;
  return run;
}

std::string options_text(const TrainingRunSpec& spec, const io::LoadedModel& loaded, const io::TrainingState& run) {
  std::map<std::string, std::string> in_force = options_of_model(spec, loaded);
  in_force.insert(run.start_options.begin(), run.start_options.end());
  return spec.effective_options(in_force);
}

nn::ForwardOptions make_forward(const TrainingRunSpec& spec, const io::LoadedModel& loaded) {
  nn::ForwardOptions forward;
  forward.attention = spec.attention;
  loaded.model->check_attention_backend(spec.attention_backend, "--attention_backend");
  forward.backend = spec.attention_backend;
  if (spec.attention == nn::AttentionKind::kFull) return forward;
  forward.segment_length = spec.sft ? spec.sft->segment_length : spec.train.sequence_length / loaded.hici.num_segments;
  return forward;
}

PlannedStep plan_training_step(const TrainingRunSpec& spec, const io::LoadedModel& loaded,
                               const nn::ForwardOptions& forward) {
  PlanProblem problem;
  problem.model = loaded.model->config();
  const int64_t length = spec.train.sequence_length;
  const bool is_one_segment = spec.attention != nn::AttentionKind::kFull && forward.segment_length == 0;
  const int64_t segment_length = is_one_segment ? length : forward.segment_length;
  problem.shape = {spec.train.batch_size, length, spec.attention, segment_length, {}, 0, false};
  problem.parameters = count_parameters(*loaded.model);
  problem.shape.trains_head = problem.parameters.trains_head;
  const nn::Attention& attention = loaded.model->layers().front().attention;
  if (attention.hierarchy) problem.shape.hici = loaded.hici;
  if (attention.q_proj.has_lora()) problem.shape.lora_rank = attention.q_proj.lora_a.size(0);
  problem.dtype = spec.dtype;
  problem.on_gpu = spec.device.is_cuda();
  problem.whole_scores =
      ops::fastest_backend({spec.device, spec.dtype, problem.model.head_dim}) == ops::AttentionBackend::kMath;
  problem.stream_segments = spec.train.stream_segments;
  problem.accumulation_steps = spec.train.accumulation_steps;
  problem.trainable = spec.trainable;
  problem.lora = loaded.lora.value_or(spec.lora);
  return plan_step(std::move(problem), spec.activation_policy, spec.device);
}

// How far a streamed step is: shown from its third second on, so that short steps keep their one line.
class SegmentProgress {
 public:
  void update(StreamPass pass, int64_t done, int64_t total) {
    if (done == 1) line_.emplace(kNames[static_cast<size_t>(pass)], total, ProgressUnit::kItems, kQuiet);
    line_->update(done);
    if (done == total) finish();
  }
  void finish() { line_.reset(); }

 private:
  static constexpr std::array<const char*, 2> kNames{"segments read (pass 1 of 2)", "segments learned (pass 2 of 2)"};
  static constexpr std::chrono::seconds kQuiet{3};
  std::optional<hici::Progress> line_;
};

Progress progress_of(const io::TrainingState& state) {
  return {state.step, state.tokens, {state.epoch, state.next_sample}};
}

// Checkpoints that a run from `start` to `total` makes: at every multiple of save_steps, and at the end.
int64_t saves_to_come(int64_t start, int64_t total, int64_t save_steps) {
  if (start >= total) return 0;
  if (save_steps == 0) return 1;
  return total / save_steps - start / save_steps + (total % save_steps == 0 ? 0 : 1);
}

// What a run writes and shows while it goes on: checkpoints, metrics, options.ini, the live line.
class RunRecord {
 public:
  RunRecord(const TrainingRunSpec& spec, const io::LoadedModel& loaded,
            const std::vector<optim::TrainedParameter>& trained, io::TrainingState identity, io::CheckpointStore& store)
      : spec_(spec), loaded_(loaded), trained_(trained), identity_(std::move(identity)), store_(store) {}

  TrainerEvents events() {
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

  // Before the first step. A disk without room is an error before anything that an earlier run left is changed.
  void begin(optim::AdamW& optimizer, const Progress& start, int64_t total_steps) {
    optimizer_ = &optimizer;
    store_.check_room(checkpoint_bytes(content_at(start)),
                      saves_to_come(start.step, total_steps, spec_.train.save_steps));
    write_file_atomically(spec_.output_dir / "options.ini", options_text(spec_, loaded_, identity_));
    store_.set_aside_after(start.step);
    metrics_.emplace(spec_.output_dir, start.step, total_steps);
  }
  void finish() {
    segments_.finish();
    metrics_->finish();
  }

  const RunLosses& losses() const { return metrics_->losses(); }
  double seconds() const { return seconds_; }  // of the steps of this process

 private:
  CheckpointContent content_at(const Progress& progress) const {
    return {loaded_, spec_, trained_, *optimizer_, state_at(identity_, progress)};
  }

  const TrainingRunSpec& spec_;
  const io::LoadedModel& loaded_;
  const std::vector<optim::TrainedParameter>& trained_;
  io::TrainingState identity_;
  io::CheckpointStore& store_;
  optim::AdamW* optimizer_ = nullptr;
  std::optional<MetricsWriter> metrics_;
  SegmentProgress segments_;
  double seconds_ = 0;
};

// An allocation that fails ends the run: the checkpoints stay as they are.
RunEnd run_or_say_what_fits(Trainer& trainer, const Progress& start, const PlannedStep& planned) {
  try {
    return trainer.run(start);
  } catch (const c10::OutOfMemoryError& e) {
    fail(describe_out_of_memory(planned, trainer.progress().step + 1, e.what_without_backtrace()));
  }
}

int exit_code_of(RunEnd end, const io::CheckpointStore& store, const Trainer& trainer) {
  if (store.failed_saves() > 0) {
    log_warning(counted(store.failed_saves(), "checkpoint"), " could not be saved; exit code 1");
    return 1;
  }
  if (end == RunEnd::kFinished) return 0;
  log_info("stopped by signal ", stop_requested(), " after step ", trainer.progress().step,
           "; go on with --resume_from_checkpoint latest");
  return 128 + stop_requested();
}

}  // namespace

int run_training(const TrainingRunSpec& spec) {
  spec.train.validate();
  const RunLock lock(spec.output_dir);
  const StopSignals signals;
  io::CheckpointStore store(spec.output_dir, spec.train.save_total_limit);
  store.clean_up();
  const ResumePoint resume = find_resume_point(spec);
  check_output_is_free(spec, resume);

  const io::LoadedModel loaded = load_for_training(spec, resume);
  nn::ForwardOptions forward = make_forward(spec, loaded);
  const TrainingData data = open_training_data(spec, loaded.model->config().vocab_size);
  const io::TrainingState identity = settle_run(spec, resume, loaded, data);
  const int64_t total_steps = spec.train.total_steps(data.identity.num_samples);
  if (resume.checkpoint) {
    log_resume(spec, *resume.checkpoint, resume.state.step, total_steps);
    if (resume.state.step >= total_steps) return 0;
  }

  const auto trained = select_trainable(*loaded.model, spec.trainable);
  if (spec.fp8_base) loaded.model->quantise_frozen("--fp8_base");
  const PlannedStep planned = plan_training_step(spec, loaded, forward);
  announce_plan(planned);
  forward.policies = planned.plan.policies;
  RunRecord record(spec, loaded, trained, identity, store);
  Trainer trainer(*loaded.model, forward, trained, *data.samples, spec.train, record.events());
  if (resume.checkpoint) read_optimizer(*resume.checkpoint, trainer.optimizer());
  const Progress start = progress_of(resume.state);
  record.begin(trainer.optimizer(), start, total_steps);
  log_start(spec, loaded, trained, data, total_steps);

  const RunEnd end = run_or_say_what_fits(trainer, start, planned);
  record.finish();
  if (end == RunEnd::kFinished && store.failed_saves() == 0)
    log_finished(spec, data, record.losses(), record.seconds(), total_steps - start.step, total_steps);
  return exit_code_of(end, store, trainer);
}

}  // namespace hici::train
