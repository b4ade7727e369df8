// SPDX-License-Identifier: Apache-2.0
// hici tokenize: text files to a token file and its sidecar.
#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/human.h"
#include "hici/base/log.h"
#include "hici/base/output_place.h"
#include "hici/base/signals.h"
#include "hici/commands/command.h"
#include "hici/commands/commands.h"
#include "hici/commands/options/data_options.h"
#include "hici/commands/options/option_choices.h"
#include "hici/commands/options/output_options.h"
#include "hici/data/tokenize_corpus.h"
#include "hici/io/checkpoint/folder_check.h"

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
  OverwriteOption overwrite;
};

void bind_options(CLI::App& app, TokenizeOptions& o) {
  app.add_option("--model_path,--tokenizer", o.model_path, "Directory with tokenizer.json, or that file");
  app.add_option("--text_file,--input", o.text_file,
                 ".txt (a file is a document), .jsonl, .json, each also .gz or .zst, .parquet, or a folder of them or "
                 "of save_to_disk; "
                 "several go into one token file");
  add_option(app, "text_field", o.text_field, kTextFieldHelp);
  add_option(app, "split", o.split, "Split of a data set with several");
  add_option(app, "output", o.output, "Token file to write; FILE.json beside it states what it holds");
  add_option(app, "output_dir", o.output_dir,
             "Folder to write to instead: the file is named after the first text file, with .bin");
  with_choices_of<data::TokenType>(add_option(app, "token_type", o.token_type,
                                              "uint16 or uint32; empty: uint16 when every id of the tokenizer fits"));
  add_bool(app, "add_special_tokens", o.add_special_tokens,
           "Around every document what tokenizer.json asks for, as Python's encode() does");
  add_bool(app, "add_bos", o.add_bos, "BOS before every document, unless it is there already");
  add_bool(app, "add_eos", o.add_eos, "EOS after every document, unless it is there already");
  add_option(app, "num_threads", o.num_threads, "Threads that encode; 0: all cores", kThreads);
  o.overwrite.bind(app);
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

std::string summary(const std::filesystem::path& path, const data::TokenFileInfo& info,
                    const data::CorpusCounts& counts, double seconds) {
  std::array<char, 128> rates{};
  std::snprintf(rates.data(), rates.size(), "%.2f s, %.0f tokens/s, %.2f MB/s", seconds,
                static_cast<double>(counts.num_tokens) / seconds,
                static_cast<double>(counts.num_bytes) / 1e6 / seconds);
  return detail::concat(path.string(), ": ", counted(counts.num_tokens, "token"), " (", name_of(info.type),
                        ", vocabulary ", info.vocab_size, ") of ", counted(counts.num_documents, "document"), ", ",
                        human_bytes(counts.num_bytes), " of text in ", rates.data(), "\n");
}

// A token file with the description that hici gave it, which may be replaced also beside a model.
bool is_token_file(const std::filesystem::path& path) {
  try {
    return data::read_sidecar(path).has_value();
  } catch (const Error&) {
    return false;
  }
}

void check_places(const TokenizeOptions& o, const std::filesystem::path& path) {
  ReadPlaces inputs, tokenizer;
  for (const std::string& file : o.text_file) add_read_places(inputs, file, "--text_file");
  add_read_places(tokenizer, o.model_path, "--tokenizer");
  check_output_file(path, inputs);
  check_output_file(data::sidecar_path(path), inputs);
  if (is_token_file(path)) return;
  check_output_file(path, tokenizer);
  check_output_file(data::sidecar_path(path), tokenizer);
}

int run(const TokenizeOptions& o) {
  validate(o);
  const std::filesystem::path path = output_path(o), tokenizer = o.model_path;
  // The tokenizer of a checkpoint is what its manifest says.
  const io::FolderCheck check(std::filesystem::is_directory(tokenizer) ? tokenizer : tokenizer.parent_path());
  data::TokenizeJob job{
      .tokenizer = o.model_path,
      .inputs = o.text_file,
      .text_field = o.text_field,
      .split = o.split,
      .output = path,
      .type = {},
      .frame = {.add_special_tokens = o.add_special_tokens, .add_bos = o.add_bos, .add_eos = o.add_eos},
      .num_threads = o.num_threads};
  if (!o.token_type.empty()) job.type = parse_enum<data::TokenType>(o.token_type, "--token_type");
  check_places(o, path);
  o.overwrite.check({path});
  if (!o.overwrite.value) data::read_sidecar(path);  // what has its name and is none is somebody's
  const StopSignals signals;
  const MadeFolders folders(folder_of(path));
  const data::TokenizeResult result = data::tokenize_corpus(job);
  write_stdout(summary(path, result.info, result.counts, result.seconds));
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
