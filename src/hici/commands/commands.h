// SPDX-License-Identifier: Apache-2.0
// The commands, one function for each; table.cpp lists them in the order of the help text.
#pragma once

#include "hici/commands/command.h"

namespace hici::commands {

CommandEntry bench_attention_command();
CommandEntry bench_decode_command();
CommandEntry bench_eval_command();
CommandEntry bench_links_command();
CommandEntry bench_loss_command();
CommandEntry bench_step_command();
CommandEntry devices_command();
CommandEntry eval_passkey_command();
CommandEntry eval_lines_command();
CommandEntry eval_longbench_command();
CommandEntry eval_attention_command();
CommandEntry eval_ppl_command();
CommandEntry eval_topics_command();
CommandEntry extract_command();
CommandEntry generate_command();
CommandEntry init_command();
CommandEntry inspect_command();
CommandEntry merge_command();
CommandEntry plan_command();
CommandEntry quickstart_command();
CommandEntry report_command();
CommandEntry score_lines_command();
CommandEntry score_longbench_command();
CommandEntry score_topics_command();
CommandEntry sft_command();
CommandEntry tokenize_command();
CommandEntry train_command();
CommandEntry train_tokenizer_command();

}  // namespace hici::commands
