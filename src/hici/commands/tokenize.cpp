// SPDX-License-Identifier: Apache-2.0
// hici tokenize: text files to a token file and its sidecar.
#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/log.h"
#include "hici/base/progress.h"
#include "hici/commands/command.h"
#include "hici/commands/commands.h"
#include "hici/data/corpus_tokenizer.h"
#include "hici/data/text_source.h"
#include "hici/data/token_file.h"
#include "hici/text/tokenizer.h"

#include <array>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace hici::commands {
namespace {

struct TokenizeOptions {
  std::string model_path;
  std::vector<std::string> text_file;
  std::string text_field = "text";
  std::string split = "train";
  std::string output;
  std::string output_dir;
  std::string token_type;
  bool add_special_tokens = true;
  bool add_bos = false;
  bool add_eos = false;
  int num_threads = 0;
};

void bind_options(CLI::App& app, TokenizeOptions& o) {
  app.add_option("--model_path,--tokenizer", o.model_path, "Directory with tokenizer.json, or that file");
  app.add_option("--text_file,--input", o.text_file,
                 ".txt (a file is a document), .jsonl, .json, each also .gz or .zst, or a save_to_disk folder; several "
                 "go into one token file");
  add_option(app, "text_field", o.text_field, "Field of JSON objects, column of Arrow data sets");
  add_option(app, "split", o.split, "Split of a data set with several");
  add_option(app, "output", o.output, "Token file to write; FILE.json beside it states what it holds");
  add_option(app, "output_dir", o.output_dir,
             "Folder to write to instead: the file is named after the first text file, with .bin");
  add_option(app, "token_type", o.token_type, "uint16 or uint32; empty: uint16 when every id of the tokenizer fits");
  add_bool(app, "add_special_tokens", o.add_special_tokens,
           "Around every document what tokenizer.json asks for, as Python's encode() does");
  add_bool(app, "add_bos", o.add_bos, "BOS before every document, unless it is there already");
  add_bool(app, "add_eos", o.add_eos, "EOS after every document, unless it is there already");
  add_option(app, "num_threads", o.num_threads, "Threads that encode; 0: all cores");
}

void validate(const TokenizeOptions& o) {
  HICI_CHECK_USAGE(!o.model_path.empty(),
                   "--model_path: missing; give a directory with tokenizer.json ('hici train-tokenizer' makes one)");
  HICI_CHECK_USAGE(!o.text_file.empty(), "--text_file: missing; give one or more files of text");
  HICI_CHECK_USAGE(o.output.empty() != o.output_dir.empty(), "--output, --output_dir: give one of the two");
}

// "books/pg19.jsonl.gz" -> "pg19.bin"
std::filesystem::path output_path(const TokenizeOptions& o) {
  if (!o.output.empty()) return o.output;
  std::filesystem::path name = std::filesystem::path(o.text_file.front()).filename();
  if (name.empty()) name = std::filesystem::path(o.text_file.front()).parent_path().filename();  // "folder/"
  while (name.has_extension()) name = name.stem();
  return std::filesystem::path(o.output_dir) / (name.string() + ".bin");
}

std::vector<std::unique_ptr<data::TextSource>> open_sources(const TokenizeOptions& o) {
  std::vector<std::unique_ptr<data::TextSource>> sources;
  for (const std::string& file : o.text_file)
    sources.push_back(data::open_text_source(file, {.text_field = o.text_field, .split = o.split}));
  return sources;
}

// Pours all sources into `tokenizer`, with a progress line. Returns the seconds it took.
double tokenize_all(const std::vector<std::unique_ptr<data::TextSource>>& sources, data::CorpusTokenizer& tokenizer) {
  uint64_t total_bytes = 0;
  for (const auto& source : sources) total_bytes += source->total_bytes();
  Progress progress("tokenizing", static_cast<int64_t>(total_bytes), ProgressUnit::kBytes);
  uint64_t done_bytes = 0;
  for (const auto& source : sources) {
    for (data::TextPiece piece; source->next(piece);) {
      tokenizer.add(std::move(piece));
      progress.update(static_cast<int64_t>(done_bytes + source->bytes_consumed()));
    }
    done_bytes += source->total_bytes();
  }
  return progress.seconds();
}

std::string summary(const std::filesystem::path& path, const data::TokenFileInfo& info,
                    const data::CorpusCounts& counts, double seconds) {
  std::array<char, 128> rates{};
  std::snprintf(rates.data(), rates.size(), "%.2f s, %.0f tokens/s, %.2f MB/s", seconds,
                static_cast<double>(counts.num_tokens) / seconds,
                static_cast<double>(counts.num_bytes) / 1e6 / seconds);
  return detail::concat(path.string(), ": ", counts.num_tokens, " tokens (", data::token_type_name(info.type),
                        ", vocabulary ", info.vocab_size, ") of ", counts.num_documents,
                        counts.num_documents == 1 ? " document" : " documents", ", ", human_bytes(counts.num_bytes),
                        " of text in ", rates.data(), "\n");
}

int run(const TokenizeOptions& o) {
  validate(o);
  const text::Tokenizer tokenizer = text::Tokenizer::from_path(o.model_path, o.num_threads);
  const data::DocumentFrame frame = data::make_document_frame(
      tokenizer, {.add_special_tokens = o.add_special_tokens, .add_bos = o.add_bos, .add_eos = o.add_eos});
  const std::vector<std::unique_ptr<data::TextSource>> sources = open_sources(o);
  const data::TokenType type = o.token_type.empty() ? data::token_type_for_vocabulary(tokenizer.vocab_size())
                                                    : data::parse_token_type(o.token_type, "--token_type");
  const std::filesystem::path path = output_path(o);
  if (!o.output_dir.empty()) std::filesystem::create_directories(o.output_dir);
  data::TokenFileWriter writer(path, type);
  data::CorpusTokenizer corpus(tokenizer, frame, [&](std::span<const uint32_t> ids) { writer.write(ids); });
  double seconds = tokenize_all(sources, corpus);
  const data::CorpusCounts counts = corpus.finish();
  HICI_CHECK(counts.num_tokens > 0, o.text_file.front(), ": holds no text; nothing is written");
  const data::TokenFileInfo info = writer.commit({.vocab_size = tokenizer.vocab_size(),
                                                  .num_documents = counts.num_documents,
                                                  .tokenizer_path = tokenizer.path().string(),
                                                  .tokenizer_sha256 = tokenizer.sha256(),
                                                  .sources = o.text_file});
  write_stdout(summary(path, info, counts, seconds));
  return 0;
}

}  // namespace

CommandEntry tokenize_command() {
  return {"tokenize", "Turn text into a token file", [](CLI::App& app) {
            const auto options = std::make_shared<TokenizeOptions>();
            bind_options(app, *options);
            return [options] { return run(*options); };
          }};
}

}  // namespace hici::commands
