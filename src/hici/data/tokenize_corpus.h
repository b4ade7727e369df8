// SPDX-License-Identifier: Apache-2.0
// From texts to a token file: what `hici tokenize` does, and `hici train` and `hici eval ppl` when they are given text.
#pragma once

#include "hici/data/corpus_tokenizer.h"
#include "hici/data/token_file.h"

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace hici::data {

// Who watches documents that become tokens.
struct DocumentWatch {
  std::function<void(const TextPiece&)> on_piece = {};  // each piece of text; none of data that are ids
  std::function<void(int64_t end)> on_document = {};    // behind each document, with the number of ids so far
};

struct TokenizeJob {
  std::filesystem::path tokenizer;  // a directory with tokenizer.json, or that file
  std::vector<std::string> inputs;
  std::string text_field = "text";
  std::string split = "train";
  std::filesystem::path output;
  std::optional<TokenType> type;  // else uint16 when every id of the tokenizer fits
  FrameOptions frame;
  int num_threads = 0;  // 0: all cores
  DocumentWatch watch = {};
};

struct TokenizeResult {
  TokenFileInfo info;
  CorpusCounts counts;
  double seconds = 0;  // from the first byte read to the last one written
};

// Streams the inputs through the tokenizer, with a progress line; the token file and its sidecar appear whole or not at
// all. Ids of Arrow data sets that hold such (arrow/ids.h) are taken as they are. Inputs without text are an error.
TokenizeResult tokenize_corpus(const TokenizeJob& job);

// True for what hici reads as text by itself: .txt, .jsonl, .json (also .gz, .zst) and Arrow data sets.
bool is_text_source(const std::filesystem::path& path);

// Data of a model: a token file, or text or ids that become one on the way.
struct ModelData {
  std::filesystem::path path;
  std::filesystem::path model;  // its tokenizer; need not have one if the data are ids
  int64_t vocab_size = 0;       // of the model
  std::string text_field = "text";
  std::string split = "train";
  FrameOptions frame = {};  // of texts
};

// Writes the token file of text or ids. The sidecar of ids names no tokenizer.
TokenizeResult write_token_file(const ModelData& data, const std::filesystem::path& output,
                                const DocumentWatch& watch = {});

// Whether open_tokens() takes the data as token ids in a file, not as text or a data set.
bool is_token_file(const std::filesystem::path& path, const std::optional<TokenTypeChoice>& type);

// The token file itself, or one in a temporary folder that goes with the object. Text that has a sidecar, or whose type
// the user named, is a token file with an odd name.
TokenFile open_tokens(const ModelData& data, const std::optional<TokenTypeChoice>& type,
                      const DocumentWatch& watch = {});

}  // namespace hici::data
