// SPDX-License-Identifier: Apache-2.0
#include "hici/train/training_run.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/log.h"
#include "hici/base/signals.h"
#include "hici/train/run_folder.h"
#include "hici/train/run_messages.h"
#include "hici/train/run_record.h"
#include "hici/train/run_setup.h"
#include "hici/train/trainer.h"

namespace hici::train {
namespace {

Progress progress_of(const io::TrainingState& state) {
  return {state.step, state.tokens, {state.epoch, state.next_sample}};
}

// Says where a run goes on from. True when nothing is left to do.
bool is_done(const TrainingRunSpec& spec, const ResumePoint& resume, int64_t total_steps) {
  if (!resume.checkpoint) return false;
  log_resume(spec, *resume.checkpoint, resume.state.step, total_steps);
  return resume.state.step >= total_steps;
}

// An allocation that fails ends the run: the checkpoints stay as they are.
RunEnd run_or_say_what_fits(Trainer& trainer, const Progress& start, const plan::PlannedStep& planned) {
  try {
    return trainer.run(start);
  } catch (const c10::OutOfMemoryError& e) {
    fail(plan::describe_out_of_memory(planned, trainer.progress().step + 1, e.what_without_backtrace()));
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

// From the step of the checkpoint to the last one, or to a stop signal.
int run_steps(const TrainingRunSpec& spec, RunFolder& folder, const RunInputs& inputs, const RunStep& step,
              optim::AdamW& optimizer) {
  const int64_t total_steps = inputs.total_steps;
  RunRecord record(spec, inputs.loaded, step.trained, optimizer, inputs.identity, folder.store);
  Trainer trainer(*inputs.loaded.model, step.forward, step.trained, optimizer, *inputs.data.samples, spec.train,
                  record.events());
  const Progress start = progress_of(folder.resume.state);
  record.begin(start, total_steps);
  log_start(spec, inputs.loaded, step.trained, inputs.data, total_steps);

  const RunEnd end = run_or_say_what_fits(trainer, start, step.planned);
  record.finish();
  if (end == RunEnd::kFinished && folder.store.failed_saves() == 0)
    log_finished(spec, inputs.data, record.losses(), record.seconds(), total_steps - start.step, total_steps);
  return exit_code_of(end, folder.store, trainer);
}

}  // namespace

int run_training(const TrainingRunSpec& spec) {
  spec.train.validate();
  const StopSignals signals;
  RunFolder folder(spec);
  const RunInputs inputs = load_inputs(spec, folder.resume);
  if (is_done(spec, folder.resume, inputs.total_steps)) return 0;
  const RunStep step = build_step(spec, inputs);
  optim::AdamW optimizer = make_optimizer(spec, step.trained, folder.resume);
  return run_steps(spec, folder, inputs, step, optimizer);
}

}  // namespace hici::train
