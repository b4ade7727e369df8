// SPDX-License-Identifier: Apache-2.0
#include "hici/data/tokenize_corpus.h"

#include "hici/base/error.h"
#include "hici/base/hub_id.h"
#include "hici/base/human.h"
#include "hici/base/is_there.h"
#include "hici/base/log.h"
#include "hici/base/progress.h"
#include "hici/base/signals.h"
#include "hici/base/temporary.h"
#include "hici/data/arrow/files.h"
#include "hici/data/arrow/ids.h"
#include "hici/data/byte_stream.h"
#include "hici/data/text_source.h"

#include <memory>

namespace hici::data {
namespace {

// Documents as texts or as ids: one of the two.
struct Source {
  std::unique_ptr<TextSource> text;
  std::unique_ptr<IdRows> ids;

  uint64_t total_bytes() const { return text ? text->total_bytes() : ids->total_bytes(); }
  uint64_t bytes_consumed() const { return text ? text->bytes_consumed() : ids->bytes_consumed(); }
};

Source open_source(const std::string& input, const TokenizeJob& job, int64_t vocab_size) {
  Source source;
  if (is_arrow_data(input)) source.ids = open_arrow_ids(input, job.split, job.text_field, vocab_size, true);
  if (!source.ids) source.text = open_text_source(input, {.text_field = job.text_field, .split = job.split});
  return source;
}

// One source into the tokenizer; `update` is called now and then.
template <typename Update>
void pour(const Source& source, CorpusTokenizer& tokenizer, const DocumentWatch& watch, const Update& update) {
  std::vector<uint32_t> ids;
  TextPiece piece;
  while (source.ids ? source.ids->next(ids) : source.text->next(piece)) {
    check_stop("; nothing was written");
    if (!source.ids && watch.on_piece) watch.on_piece(piece);
    source.ids ? tokenizer.add_ids(ids) : tokenizer.add(std::move(piece));
    update();
  }
}

// Pours all sources into `tokenizer`. What the progress line counts has been encoded and handed to the sink: of the
// bytes that were read, the share that the text has which is through.
void tokenize_all(const std::vector<Source>& sources, CorpusTokenizer& tokenizer, const DocumentWatch& watch,
                  Progress& progress) {
  uint64_t done_bytes = 0;
  for (const Source& source : sources) {
    pour(source, tokenizer, watch, [&] {
      const auto read = static_cast<double>(done_bytes + source.bytes_consumed());
      progress.update(static_cast<int64_t>(source.ids ? read : read * tokenizer.share_encoded()));
    });
    done_bytes += source.total_bytes();
  }
}

// Ids alone need no tokenizer.
TokenizeResult write_ids(const ModelData& data, IdRows& rows, const std::filesystem::path& output,
                         const DocumentWatch& watch) {
  TokenFileWriter writer(output, token_type_for_vocabulary(data.vocab_size));
  TokenizeResult result;
  Progress progress("reading ids", static_cast<int64_t>(rows.total_bytes()), ProgressUnit::kBytes);
  for (std::vector<uint32_t> ids; rows.next(ids); ++result.counts.num_documents) {
    check_stop("; nothing was written");
    writer.write(ids);
    if (watch.on_document) watch.on_document(writer.num_tokens());
    progress.update(static_cast<int64_t>(rows.bytes_consumed()));
  }
  result.counts.num_tokens = writer.num_tokens();
  HICI_CHECK(result.counts.num_tokens > 0, data.path.string(), ": holds no ids; nothing is written");
  result.info = writer.commit(
      {.vocab_size = data.vocab_size, .num_documents = result.counts.num_documents, .sources = {data.path.string()}});
  result.seconds = progress.seconds();
  return result;
}

}  // namespace

TokenizeResult tokenize_corpus(const TokenizeJob& job) {
  const text::Tokenizer tokenizer = text::Tokenizer::from_path(job.tokenizer, job.num_threads);
  const DocumentFrame frame = make_document_frame(tokenizer, job.frame);
  std::vector<Source> sources;
  for (const std::string& input : job.inputs) sources.push_back(open_source(input, job, tokenizer.vocab_size()));
  TokenFileWriter writer(job.output, job.type.value_or(token_type_for_vocabulary(tokenizer.vocab_size())));
  CorpusTokenizer corpus(
      tokenizer, frame, [&](std::span<const uint32_t> ids) { writer.write(ids); }, job.watch.on_document);
  TokenizeResult result;
  uint64_t total_bytes = 0;
  for (const Source& source : sources) total_bytes += source.total_bytes();
  Progress progress("tokenizing", static_cast<int64_t>(total_bytes), ProgressUnit::kBytes);
  tokenize_all(sources, corpus, job.watch, progress);
  result.counts = corpus.finish();
  HICI_CHECK(result.counts.num_tokens > 0, job.inputs.front(), ": holds no text; nothing is written");
  result.info = writer.commit({.vocab_size = tokenizer.vocab_size(),
                               .num_documents = result.counts.num_documents,
                               .tokenizer_path = tokenizer.path().string(),
                               .tokenizer_sha256 = tokenizer.sha256(),
                               .sources = job.inputs});
  result.seconds = progress.seconds();
  return result;
}

bool is_text_source(const std::filesystem::path& path) {
  if (is_arrow_data(path)) return true;
  const std::string ending = format_ending(path);
  return ending == ".txt" || ending == ".jsonl" || ending == ".json";
}

TokenizeResult write_token_file(const ModelData& data, const std::filesystem::path& output,
                                const DocumentWatch& watch) {
  if (is_arrow_data(data.path)) {
    const auto ids = open_arrow_ids(data.path, data.split, data.text_field, data.vocab_size, false);
    if (ids) return write_ids(data, *ids, output, watch);
  }
  return tokenize_corpus({.tokenizer = data.model,
                          .inputs = {data.path.string()},
                          .text_field = data.text_field,
                          .split = data.split,
                          .output = output,
                          .type = {},
                          .frame = data.frame,
                          .watch = watch});
}

bool is_token_file(const std::filesystem::path& path, const std::optional<TokenTypeChoice>& type) {
  return type || !is_text_source(path) || is_there(sidecar_path(path));
}

TokenFile open_tokens(const ModelData& data, const std::optional<TokenTypeChoice>& type, const DocumentWatch& watch) {
  if (is_token_file(data.path, type)) return TokenFile::open(data.path, {.vocab_size = data.vocab_size, .type = type});
  HICI_CHECK(std::filesystem::exists(data.path), data.path.string(), ": no such file or folder",
             hub_hint(data.path, HubKind::kDataSet));
  const auto folder = std::make_shared<WorkingFolder>(std::filesystem::temp_directory_path() / "hici-tokens");
  const std::filesystem::path output = folder->path() / "tokens.bin";
  const TokenizeResult result = write_token_file(data, output, watch);
  log_info(data.path.string(), ": ", counted(result.counts.num_tokens, "token"), " of ",
           counted(result.counts.num_documents, "document"));
  TokenFile tokens = TokenFile::open(output, {.vocab_size = data.vocab_size});
  tokens.belongs_to(data.path, folder);
  return tokens;
}

}  // namespace hici::data
