// SPDX-License-Identifier: Apache-2.0
// The list of commands; the order is that of `hici --help`.
#include "hici/commands/commands.h"

namespace hici::commands {

const std::vector<CommandEntry>& command_table() {
  // clang-format off: one command a line
  static const std::vector<CommandEntry> table = {
      quickstart_command(),
      train_command(),
      sft_command(),
      eval_ppl_command(),
      eval_passkey_command(),
      eval_topics_command(),
      eval_lines_command(),
      eval_longbench_command(),
      eval_attention_command(),
      generate_command(),
      extract_command(),
      merge_command(),
      score_longbench_command(),
      score_topics_command(),
      score_lines_command(),
      plan_command(),
      report_command(),
      bench_step_command(),
      bench_eval_command(),
      bench_decode_command(),
      bench_attention_command(),
      bench_loss_command(),
      bench_links_command(),
      init_command(),
      inspect_command(),
      tokenize_command(),
      train_tokenizer_command(),
      devices_command(),
  };
  // clang-format on
  return table;
}

}  // namespace hici::commands
