// SPDX-License-Identifier: Apache-2.0
// hici train-tokenizer: a byte-level BPE from text, as a directory that transformers loads.
#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/log.h"
#include "hici/base/output_place.h"
#include "hici/base/progress.h"
#include "hici/commands/command.h"
#include "hici/commands/commands.h"
#include "hici/commands/options/output_options.h"
#include "hici/data/text_source.h"
#include "hici/text/bpe_training.h"
#include "hici/text/tokenizer.h"

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace hici::commands {
namespace {

constexpr size_t kMaxModelConfigBytes = size_t{64} << 20;

struct TrainTokenizerOptions {
  std::vector<std::string> text_file;
  std::string text_field = "text";
  std::string split = "train";
  std::string output_dir;
  int64_t vocab_size = 8192;
  int64_t min_frequency = 2;
  std::string bos_token = "<s>";
  std::string eos_token = "</s>";
  std::string pad_token;
  bool add_bos_token = false;
  int num_threads = 0;
  OverwriteOption overwrite;
};

void bind_options(CLI::App& app, TrainTokenizerOptions& o) {
  app.add_option("--text_file,--input", o.text_file,
                 ".txt, .jsonl, .json, each also .gz or .zst, .parquet, or folders of them or of save_to_disk");
  add_option(app, "text_field", o.text_field, "Field of JSON objects, column of Arrow data sets");
  add_option(app, "split", o.split, "Split of a data set with several");
  add_option(app, "output_dir", o.output_dir, "Folder for tokenizer.json and tokenizer_config.json");
  add_option(app, "vocab_size", o.vocab_size, "Ids in all, special tokens and the 256 bytes included", kFromZero);
  add_option(app, "min_frequency", o.min_frequency, "Pairs seen less often are not merged", kFromZero);
  add_option(app, "bos_token", o.bos_token, "Special token for the beginning of a text; empty: none");
  add_option(app, "eos_token", o.eos_token, "Special token for its end; empty: none");
  add_option(app, "pad_token", o.pad_token, "Special token for padding; empty: none");
  add_bool(app, "add_bos_token", o.add_bos_token, "Encoding puts the BOS token in front of every text");
  add_option(app, "num_threads", o.num_threads, "Threads; 0: all cores", kThreads);
  o.overwrite.bind(app);
}

void validate(const TrainTokenizerOptions& o) {
  HICI_CHECK_USAGE(!o.text_file.empty(), "--text_file: missing; give one or more files of text");
  HICI_CHECK_USAGE(!o.output_dir.empty(), "--output_dir: missing; give a folder to write to");
  HICI_CHECK_USAGE(!o.add_bos_token || !o.bos_token.empty(), "--add_bos_token: there is no --bos_token");
}

std::vector<std::string> special_tokens(const TrainTokenizerOptions& o) {
  std::vector<std::string> tokens;
  for (const std::string& token : {o.bos_token, o.eos_token, o.pad_token}) {
    if (!token.empty() && std::find(tokens.begin(), tokens.end(), token) == tokens.end()) tokens.push_back(token);
  }
  return tokens;
}

// Collects pieces of text that end at line ends (words never span lines) and feeds them in batches.
class LineFeeder {
 public:
  explicit LineFeeder(text::BpeTraining& training) : training_(training) {}

  void add(const data::TextPiece& piece) {
    carried_ += piece.text;
    const size_t end = piece.ends_document ? carried_.size() : carried_.rfind('\n') + 1;  // npos + 1 is 0
    if (end == 0) return;
    batch_bytes_ += end;
    batch_.push_back(carried_.substr(0, end));
    carried_.erase(0, end);
    if (batch_bytes_ >= kBatchBytes) flush();
  }

  void flush() {
    training_.feed(batch_);
    batch_.clear();
    batch_bytes_ = 0;
  }

 private:
  static constexpr size_t kBatchBytes = size_t{16} << 20;
  text::BpeTraining& training_;
  std::string carried_;
  std::vector<std::string> batch_;
  size_t batch_bytes_ = 0;
};

void feed_file(const std::string& file, const TrainTokenizerOptions& o, text::BpeTraining& training) {
  const std::unique_ptr<data::TextSource> source =
      data::open_text_source(file, {.text_field = o.text_field, .split = o.split});
  Progress progress("reading " + file, static_cast<int64_t>(source->total_bytes()), ProgressUnit::kBytes);
  LineFeeder feeder(training);
  for (data::TextPiece piece; source->next(piece);) {
    feeder.add(piece);
    progress.update(static_cast<int64_t>(source->bytes_consumed()));
  }
  feeder.flush();
}

std::optional<std::string> unless_empty(const std::string& token) {
  return token.empty() ? std::nullopt : std::optional(token);
}

// tokenizer_config.json alone, as we would write it, is what a killed process left.
void check_overwriting(const TrainTokenizerOptions& o, const std::filesystem::path& folder, const std::string& config) {
  const std::filesystem::path file = folder / "tokenizer_config.json";
  o.overwrite.check({folder / "tokenizer.json"});
  if (std::filesystem::exists(file) && read_file(file, kMaxModelConfigBytes) != config) o.overwrite.check({file});
}

int run(const TrainTokenizerOptions& o) {
  validate(o);
  const std::filesystem::path folder = o.output_dir;
  check_output_folder(folder);
  ReadPlaces inputs;
  for (const std::string& file : o.text_file) add_read_places(inputs, file, "--text_file");
  for (const char* name : {"tokenizer.json", "tokenizer_config.json"}) check_output_file(folder / name, inputs);
  const text::NamedTokens named = {.bos = unless_empty(o.bos_token), .eos = unless_empty(o.eos_token)};
  const std::string config = text::tokenizer_config_json(named, unless_empty(o.pad_token));
  check_overwriting(o, folder, config);
  text::BpeTraining training({.vocab_size = o.vocab_size,
                              .min_frequency = o.min_frequency,
                              .special_tokens = special_tokens(o),
                              .bos_token = o.add_bos_token ? o.bos_token : "",
                              .num_threads = o.num_threads});
  for (const std::string& file : o.text_file) feed_file(file, o, training);
  const std::string json = training.finish();
  // tokenizer.json last: a folder that has it is whole.
  write_output_file(folder / "tokenizer_config.json", config);
  write_output_file(folder / "tokenizer.json", json);
  const int64_t vocab_size = text::Tokenizer::from_path(folder).vocab_size();
  if (vocab_size < o.vocab_size) {
    log_warning("--vocab_size: the text gives ", vocab_size, " tokens only, ", o.vocab_size, " were asked for");
  }
  write_stdout(
      detail::concat((folder / "tokenizer.json").string(), ": byte-level BPE with a vocabulary of ", vocab_size, "\n"));
  return 0;
}

}  // namespace

CommandEntry train_tokenizer_command() {
  return {"train-tokenizer", "Train a byte-level BPE tokenizer on text", [](CLI::App& app) {
            const auto options = std::make_shared<TrainTokenizerOptions>();
            bind_options(app, *options);
            return [options] { return run(*options); };
          }};
}

}  // namespace hici::commands
