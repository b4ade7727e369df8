// SPDX-License-Identifier: Apache-2.0
#include "hici/data/tokenize_corpus.h"

#include "hici/base/error.h"
#include "hici/base/progress.h"
#include "hici/base/signals.h"
#include "hici/data/text_source.h"

#include <memory>

namespace hici::data {
namespace {

std::vector<std::unique_ptr<TextSource>> open_sources(const TokenizeJob& job) {
  std::vector<std::unique_ptr<TextSource>> sources;
  for (const std::string& input : job.inputs) {
    sources.push_back(open_text_source(input, {.text_field = job.text_field, .split = job.split}));
  }
  return sources;
}

// Pours all sources into `tokenizer`. What the progress line counts has been encoded and handed to the sink: of the
// bytes that were read, the share that the text has which is through.
void tokenize_all(const std::vector<std::unique_ptr<TextSource>>& sources, CorpusTokenizer& tokenizer,
                  Progress& progress) {
  uint64_t done_bytes = 0;
  for (const auto& source : sources) {
    for (TextPiece piece; source->next(piece);) {
      check_stop("; nothing was written");
      tokenizer.add(std::move(piece));
      const auto read = static_cast<double>(done_bytes + source->bytes_consumed());
      progress.update(static_cast<int64_t>(read * tokenizer.share_encoded()));
    }
    done_bytes += source->total_bytes();
  }
}

bool ends_with(const std::string& text, const std::string& end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

}  // namespace

TokenizeResult tokenize_corpus(const TokenizeJob& job) {
  const text::Tokenizer tokenizer = text::Tokenizer::from_path(job.tokenizer, job.num_threads);
  const DocumentFrame frame = make_document_frame(tokenizer, job.frame);
  const std::vector<std::unique_ptr<TextSource>> sources = open_sources(job);
  TokenFileWriter writer(job.output, job.type.value_or(token_type_for_vocabulary(tokenizer.vocab_size())));
  CorpusTokenizer corpus(tokenizer, frame, [&](std::span<const uint32_t> ids) { writer.write(ids); });
  TokenizeResult result;
  uint64_t total_bytes = 0;
  for (const auto& source : sources) total_bytes += source->total_bytes();
  Progress progress("tokenizing", static_cast<int64_t>(total_bytes), ProgressUnit::kBytes);
  tokenize_all(sources, corpus, progress);
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
  for (const char* name : {"dataset_dict.json", "state.json"}) {
    if (std::filesystem::exists(path / name)) return true;
  }
  std::string name = path.string();
  for (const char* compressed : {".gz", ".zst"}) {
    if (ends_with(name, compressed)) name.resize(name.size() - std::string(compressed).size());
  }
  return ends_with(name, ".txt") || ends_with(name, ".jsonl") || ends_with(name, ".json");
}

}  // namespace hici::data
