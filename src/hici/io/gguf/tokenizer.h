// SPDX-License-Identifier: Apache-2.0
// A tokenizer as llama.cpp reads it: tokens with types and scores, merges, special ids, chat templates.
#pragma once

#include "hici/config/model_config.h"
#include "hici/io/gguf/file.h"

#include <filesystem>

namespace hici::io::gguf {

// Folders with a tokenizer's files, with chat templates, and with a generation_config.json; the same one, or that of an
// adapter for some.
struct TokenizerFolders {
  std::filesystem::path tokenizer, chat_template, generation;
};

// For a model of `config`: a token for each row of its embedding. Without any file of a tokenizer it says that there is
// none, and a line says so. What llama.cpp would read otherwise is an error that names it.
Metadata tokenizer_metadata(const TokenizerFolders& folders, const config::ModelConfig& config);

}  // namespace hici::io::gguf
