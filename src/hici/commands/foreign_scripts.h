// SPDX-License-Identifier: Apache-2.0
// The scripts of the research code, LongLoRA, LongEval and LongBench, and transformers' Trainer: which command does the
// work of each, and what becomes of its flags. The meaning of a flag is that of the command's option of this name.
#pragma once

#include <string>
#include <vector>

namespace hici::commands {

struct ForeignScript {
  const char* scripts;  // "eval.py, eval_distributed.py"
  const char* command;  // "eval ppl"; "" where no command does this work
  const char* note;     // what is typed here as well, or instead; may be empty
  std::vector<const char*> flags;
};

const std::vector<ForeignScript>& foreign_scripts();

// For docs/research-code.md: a table for each script, made of the options that the commands have.
std::string foreign_flags_markdown();

}  // namespace hici::commands
