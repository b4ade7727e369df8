// SPDX-License-Identifier: Apache-2.0
// From texts to a token file: what `hici tokenize` does, and `hici train` when it is given text.
#pragma once

#include "hici/data/corpus_tokenizer.h"
#include "hici/data/token_file.h"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace hici::data {

struct TokenizeJob {
  std::filesystem::path tokenizer;  // a directory with tokenizer.json, or that file
  std::vector<std::string> inputs;
  std::string text_field = "text";
  std::string split = "train";
  std::filesystem::path output;
  std::optional<TokenType> type;  // else uint16 when every id of the tokenizer fits
  FrameOptions frame;
  int num_threads = 0;  // 0: all cores
};

struct TokenizeResult {
  TokenFileInfo info;
  CorpusCounts counts;
  double seconds = 0;  // from the first byte read to the last one written
};

// Streams the inputs through the tokenizer, with a progress line; the token file and its sidecar appear whole or not at
// all. Inputs without text are an error.
TokenizeResult tokenize_corpus(const TokenizeJob& job);

// True for what hici reads as text: .txt, .jsonl, .json (also .gz, .zst) and folders of save_to_disk.
bool is_text_source(const std::filesystem::path& path);

}  // namespace hici::data
