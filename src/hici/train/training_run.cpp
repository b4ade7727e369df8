// SPDX-License-Identifier: Apache-2.0
#include "hici/train/training_run.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/log.h"
#include "hici/base/signals.h"
#include "hici/device/device.h"
#include "hici/train/run_messages.h"
#include "hici/train/run_record.h"
#include "hici/train/run_setup.h"
#include "hici/train/trainer.h"

#include <algorithm>
#include <optional>
#include <utility>

namespace hici::train {
namespace {

Progress progress_of(const io::TrainingState& state) {
  return {state.step, state.tokens, {state.epoch, state.next_sample}};
}

// A stop may come between the last step and its evaluation.
bool lacks_last_evaluation(const TrainingRunSpec& spec, int64_t step, const parallel::World& world) {
  if (!spec.evaluation) return false;
  const bool leader_finds_none = world.is_leader() && !has_evaluation(spec.output_dir, step);
  return parallel::largest_of(world, int64_t{leader_finds_none}) != 0;
}

// Says where a run goes on from. True when nothing is left to do.
bool is_done(const TrainingRunSpec& spec, const ResumePoint& resume, int64_t total_steps,
             const parallel::World& world) {
  if (!resume.checkpoint) return false;
  const bool has_steps = resume.state.step < total_steps;
  if (!has_steps && lacks_last_evaluation(spec, resume.state.step, world)) {
    log_info(spec.output_dir.string(), ": all ", counted(total_steps, "step"), " are done (",
             resume.checkpoint->string(), "), and the last evaluation is to come");
    return false;
  }
  log_resume(spec, *resume.checkpoint, resume.state.step, total_steps);
  return !has_steps;
}

// An allocation that fails ends the run: the checkpoints stay as they are.
RunEnd run_or_say_what_fits(Trainer& trainer, const Progress& start, const plan::PlannedStep& planned) {
  try {
    return trainer.run(start);
  } catch (const c10::OutOfMemoryError& e) {
    fail(plan::describe_out_of_memory(planned, trainer.progress().step + 1, e.what_without_backtrace()));
  }
}

int exit_code_of(RunEnd end, int64_t failed_saves, const Trainer& trainer) {
  if (failed_saves > 0) {
    log_warning(counted(failed_saves, "checkpoint"), " could not be saved; exit code 1");
    return 1;
  }
  if (end == RunEnd::kFinished) return 0;
  log_info("stopped by signal ", trainer.stop_signal(), " after step ", trainer.progress().step,
           "; go on with `resume_from_checkpoint` latest");
  return 128 + trainer.stop_signal();
}

std::optional<Evaluator> make_evaluator(const TrainingRunSpec& spec, const RunInputs& inputs, const RunStep& step,
                                        const parallel::World& world) {
  if (!spec.evaluation) return std::nullopt;
  const int64_t batch = spec.evaluation->batch_size > 0 ? spec.evaluation->batch_size : spec.train.batch_size;
  return Evaluator(*inputs.loaded.model, step.forward, *inputs.evaluation->samples, batch, spec.train.stream_segments,
                   world);
}

EvaluationPlan plan_of(const TrainingRunSpec& spec, const std::optional<Evaluator>& evaluator) {
  if (!evaluator) return {};
  return {&*evaluator, spec.evaluation->steps > 0 ? spec.evaluation->steps : spec.train.save_steps};
}

// Before the first step of this process: where it was asked for, and where a stop came between a step and its
// evaluation.
bool evaluates_first(const TrainingRunSpec& spec, const RunRecord& record, const EvaluationPlan& plan, int64_t step,
                     int64_t total_steps) {
  if (!spec.evaluation) return false;
  if (step == 0) return spec.evaluation->on_start;
  return (plan.is_due_after(step, total_steps) || step > total_steps) && !record.has_evaluation(step);
}

Sampler make_sampler(const TrainingRunSpec& spec, const RunInputs& inputs) {
  return spec.sample ? spec.sample->make(spec, inputs.loaded, inputs.data.is_chat) : Sampler{};
}

// In place of the first step.
int rehearse(const TrainingRunSpec& spec, const RunInputs& inputs, const RunStep& step, const OptimizerState& state,
             const Progress& from, const EvaluationPlan& evaluation, const parallel::World& world) {
  parallel::on_leader(world, [&] {
    io::CheckpointStore store(spec.output_dir, spec.train.save_total_limit);
    const RunRecord record(spec, inputs.loaded, step.trained, state, inputs.identity, store,
                           make_sampler(spec, inputs));
    const SavesToCome saves = record.check_room(from, inputs.total_steps, spec.evaluation.has_value());
    log_start(spec, inputs.loaded, step.trained, inputs.data, inputs.total_steps);
    if (spec.evaluation) log_evaluation_plan(*inputs.evaluation, evaluation.steps);
    log_dry_run(spec, step.planned, saves, inputs.total_steps - from.step);
  });
  return 0;
}

// The record of a run that begins, in the process that leads it; and whether an evaluation comes first.
void begin_record(std::optional<RunRecord>& record, const TrainingRunSpec& spec, RunStart& start,
                  const RunInputs& inputs, const RunStep& step, const OptimizerState& state,
                  EvaluationPlan& evaluation) {
  const Progress from = progress_of(start.resume.state);
  record.emplace(spec, inputs.loaded, step.trained, state, inputs.identity, start.folder->store,
                 make_sampler(spec, inputs));
  record->begin(from, inputs.total_steps, inputs.evaluation ? inputs.evaluation->identity.fingerprint : "");
  log_start(spec, inputs.loaded, step.trained, inputs.data, inputs.total_steps);
  if (spec.evaluation) log_evaluation_plan(*inputs.evaluation, evaluation.steps);
  evaluation.is_first = evaluates_first(spec, *record, evaluation, from.step, inputs.total_steps);
}

// From the step of the checkpoint to the last one, or to a stop signal.
int run_steps(const TrainingRunSpec& spec, RunStart& start, const RunInputs& inputs, const RunStep& step,
              ParameterShards& shards) {
  const parallel::World& world = shards.world();
  const bool state_on_host = spec.sharding.offload_optimizer && spec.device.is_cuda();
  optim::AdamW optimizer(shards.updated(), {.beta1 = spec.train.adam_beta1,
                                            .beta2 = spec.train.adam_beta2,
                                            .epsilon = spec.train.adam_epsilon,
                                            .weight_decay = spec.train.weight_decay,
                                            .state_on_host = state_on_host});
  OptimizerState state(shards, optimizer);
  if (start.resume.checkpoint) state.read(*start.resume.checkpoint);

  const int64_t total_steps = inputs.total_steps;
  const Progress from = progress_of(start.resume.state);
  const std::optional<Evaluator> evaluator = make_evaluator(spec, inputs, step, world);
  EvaluationPlan evaluation = plan_of(spec, evaluator);
  if (spec.dry_run) return rehearse(spec, inputs, step, state, from, evaluation, world);
  std::optional<RunRecord> record;
  parallel::on_leader(world, [&] { begin_record(record, spec, start, inputs, step, state, evaluation); });
  evaluation.is_first = parallel::largest_of(world, int64_t{evaluation.is_first}) != 0;
  TrainerEvents events = record ? record->events() : TrainerEvents{};
  events.save = [&, save = events.save](const Progress& progress) { state.write_together([&] { save(progress); }); };
  Trainer trainer(*inputs.loaded.model, step.forward, shards, optimizer, *inputs.data.samples, spec.train,
                  std::move(events), evaluation);

  const RunEnd end = run_or_say_what_fits(trainer, from, step.planned);
  if (record) record->finish();
  const int64_t failed_saves = parallel::largest_of(world, start.folder ? start.folder->store.failed_saves() : 0);
  if (record && end == RunEnd::kFinished && failed_saves == 0)
    log_finished(spec, inputs.data, *record, total_steps - from.step, total_steps);
  return exit_code_of(end, failed_saves, trainer);
}

// What processes can share by whole segments: tokens that see nothing of other segments but their slots.
void check_segment_parallel(const TrainingRunSpec& spec) {
  if (spec.segment_processes == 1) return;
  nn::check_stays_in_segments(spec.attention, "`segment_parallel`");
  HICI_CHECK_USAGE(!spec.packs_documents && (!spec.sft || !spec.sft->packing),
                   "`segment_parallel`: has no form with `packing` ", spec.sft ? "True" : "document",
                   ", where a row holds several sequences; leave one of them out");
  HICI_CHECK_USAGE(
      !spec.sft || spec.train.batch_size == 1,
      "`segment_parallel`: examples of one forward may have different numbers of segments; use `batch_size` "
      "1, and more `accumulation_steps`");
  HICI_CHECK_USAGE(!spec.sft || !spec.evaluation || spec.evaluation->batch_size <= 1,
                   "`segment_parallel`: examples of one forward may have different numbers of segments; leave "
                   "`eval_batch_size` out");
}

void check_enough_segments(const TrainingRunSpec& spec, const RunInputs& inputs) {
  const int64_t segments = spec.sft ? spec.train.sequence_length / std::max<int64_t>(1, inputs.forward.segment_length)
                                    : inputs.loaded.hici.num_segments;
  parallel::check_enough_segments(spec.segment_processes, segments, "`segment_parallel`");
}

}  // namespace

TrainingRun::TrainingRun(const TrainingRunSpec& spec, const parallel::World& world)
    : spec_(spec),
      world_(world),
      start_(spec, world),
      request_(model_to_train(spec, start_.resume)),
      opened_(io::open_model(request_)) {}

int TrainingRun::run(const config::HiciConfig& hici) {
  const RunInputs inputs = load_inputs(spec_, start_.resume, request_, *opened_, hici, world_);
  opened_.reset();  // a checkpoint of them may be removed, whose space a mapped file would keep
  check_enough_segments(spec_, inputs);
  if (is_done(spec_, start_.resume, inputs.total_steps, world_)) return 0;
  const RunStep step = build_step(spec_, inputs, world_);
  ParameterShards shards(step.trained, world_, spec_.sharding.kind);
  return run_steps(spec_, start_, inputs, step, shards);
}

int with_processes(TrainingRunSpec& spec, const std::function<int(const parallel::World&)>& work) {
  spec.train.validate();
  check_segment_parallel(spec);
  if (spec.memory_limit > 0) device::limit_memory(spec.device, spec.memory_limit - plan::kContextBytes);
  const StopSignals signals;
  return parallel::in_world(spec.segment_processes, spec.device, spec.effective_options({}),
                            [&](const parallel::World& world) {
                              spec.train.data_processes = world.mesh().data;
                              return work(world);
                            });
}

}  // namespace hici::train
