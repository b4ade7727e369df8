// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/evaluation_options.h"

#include "hici/base/error.h"
#include "hici/base/log.h"
#include "hici/base/lower_case.h"

namespace hici::commands {

void EvaluationOptions::bind(CLI::App& app) {
  add_option(app, "eval_data_path", data_path,
             "Data of the kinds of --data_path, whose loss is measured during training; they change nothing in it");
  add_option(app, "eval_split", split, "Split of --eval_data_path, where it has several; empty: --split");
  add_option(app, "eval_strategy,--evaluation_strategy", strategy,
             "steps, or no; not given: steps where --eval_data_path is given");
  add_option(app, "eval_steps", steps,
             "Steps between two evaluations; 0: --save_steps. The last step is always evaluated", kFromZero);
  add_option(app, "per_device_eval_batch_size", batch_size,
             "Sequences in one forward of an evaluation; 0: --per_device_train_batch_size", kFromZero);
  add_bool(app, "eval_on_start", on_start, "Evaluate before the first step too");
  add_bool(app, "do_eval", do_eval, "Evaluate during training; needs --eval_data_path, which says the same");
  add_bool(app, "load_best_model_at_end", loads_best,
           "The command to go on with is for the best checkpoint, and every checkpoint must be evaluated");
}

// Words that make no sense without data are errors. Those that public scripts have beside `no` are not.
bool EvaluationOptions::is_asked_for() const {
  const std::string said = in_lower_case(strategy.value);
  const bool says_no = said == "no" || said == "false";
  HICI_CHECK_USAGE(said.empty() || says_no || said == "steps", strategy.name(), ": unknown strategy '", strategy.value,
                   "'; use steps (with --eval_steps) or no");
  if (!data_path.value.empty() && !says_no) return true;
  const char* const needs = ": needs an evaluation; give --eval_data_path, and no --eval_strategy no";
  HICI_CHECK_USAGE(said != "steps", strategy.name(), ": steps needs data to evaluate; give --eval_data_path");
  HICI_CHECK_USAGE(!do_eval, "--do_eval", needs);
  HICI_CHECK_USAGE(!on_start, "--eval_on_start", needs);
  HICI_CHECK_USAGE(!loads_best, "--load_best_model_at_end", needs);
  for (const DeclaredOption* option : OptionList{&data_path, &split, &steps, &batch_size}) {
    if (option->typed()) log_info(option->name(), " has no effect: nothing is evaluated during training");
  }
  return false;
}

std::optional<train::EvaluationSpec> EvaluationOptions::resolve(int64_t save_steps) const {
  if (!is_asked_for()) return std::nullopt;
  const bool all_evaluated = steps.value == 0 || save_steps % steps.value == 0;
  HICI_CHECK_USAGE(!loads_best || all_evaluated, "--load_best_model_at_end: not every checkpoint is evaluated with ",
                   steps.name(), " ", steps.value, " and --save_steps ", save_steps,
                   "; use a multiple of --eval_steps for --save_steps");
  return train::EvaluationSpec{.data_path = data_path.value,
                               .split = split.value,
                               .steps = steps.value,
                               .batch_size = batch_size.value,
                               .on_start = on_start,
                               .loads_best = loads_best};
}

}  // namespace hici::commands
