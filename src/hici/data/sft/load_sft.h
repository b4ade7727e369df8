// SPDX-License-Identifier: Apache-2.0
// Reads the files of a data set and makes examples of them.
#pragma once

#include "hici/data/sft/examples.h"

#include <filesystem>
#include <string>

namespace hici::data {

struct SftSource {
  std::filesystem::path path;  // .json, .jsonl (also .gz, .zst) or an Arrow data set (arrow/files.h)
  std::string split = "train";
  int64_t max_samples = 0;      // the first ones; 0: all
  std::filesystem::path model;  // tokenizer and chat template
  PromptStyle prompt_style = PromptStyle::kLlama2;
  int64_t vocab_size = 0;  // every id must be below it
};

// Reads and tokenizes row by row. Names columns that had no effect in one line of the log. A data set without rows, or
// without a kept example, is an error.
SftExamples load_sft_examples(const SftSource& source, const SftLayout& layout);

}  // namespace hici::data
