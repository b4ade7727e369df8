// SPDX-License-Identifier: Apache-2.0
#include "hici/data/sft/load_sft.h"

#include "hici/base/error.h"
#include "hici/base/hub_id.h"
#include "hici/base/human.h"
#include "hici/base/log.h"
#include "hici/base/progress.h"
#include "hici/data/arrow/files.h"
#include "hici/data/arrow/rows.h"
#include "hici/data/json_rows.h"
#include "hici/data/sft/columns.h"

#include <algorithm>
#include <set>

namespace hici::data {
namespace {

constexpr size_t kBatchBytes = size_t{4} << 20;  // of rows that are tokenized at a time, on all threads

std::unique_ptr<JsonRows> open_rows(const SftSource& source) {
  HICI_CHECK(std::filesystem::exists(source.path), source.path.string(), ": no such file or folder",
             hub_hint(source.path, HubKind::kDataSet));
  const bool is_arrow = std::filesystem::is_directory(source.path) || is_arrow_data(source.path);
  return is_arrow ? open_arrow_rows(source.path, source.split) : open_json_rows(source.path);
}

class Loader {
 public:
  Loader(const SftSource& source, const SftLayout& layout)
      : source_(source), encoder_(source.model, source.prompt_style), examples_(layout) {}

  void add(const JsonRow& row) {
    rows_.push_back(parse_sft_row(row.text, row.subject));
    unused_.insert(rows_.back().unused.begin(), rows_.back().unused.end());
    bytes_ += row.text.size();
    ++num_rows_;
    if (bytes_ >= kBatchBytes) encode();
  }

  SftExamples finish() {
    encode();
    HICI_CHECK(num_rows_ > 0, source_.path.string(), ": has no rows; nothing can be learned from it",
               std::filesystem::is_directory(source_.path) ? " (`split` " + source_.split + ")" : "");
    examples_.finish();
    return std::move(examples_);
  }

  int64_t num_rows() const { return num_rows_; }
  // Columns that said something in some row and had no effect.
  const std::set<std::string>& unused() const { return unused_; }

 private:
  void encode() {
    const std::vector<SftExample> encoded = encoder_.encode(rows_);
    for (size_t i = 0; i < rows_.size(); ++i) {
      const text::Ids& ids = encoded[i].ids;
      const uint32_t largest = ids.empty() ? 0 : *std::max_element(ids.begin(), ids.end());
      HICI_CHECK(largest < source_.vocab_size, rows_[i].subject, ": token id ", largest,
                 " is outside of the model's vocabulary of ", source_.vocab_size,
                 "; tokenizer.json and the weights do not belong together");
      examples_.add(encoded[i], rows_[i].is_chat());
    }
    rows_.clear();
    bytes_ = 0;
  }

  SftSource source_;
  SftEncoder encoder_;
  SftExamples examples_;
  std::vector<SftRow> rows_;
  size_t bytes_ = 0;
  int64_t num_rows_ = 0;
  std::set<std::string> unused_;
};

void log_columns_without_effect(const SftSource& source, const Loader& loader, const JsonRows& rows) {
  std::set<std::string> names = loader.unused();
  for (const std::string& name : rows.left_out()) names.insert(name);
  if (!names.empty()) log_info(source.path.string(), ": columns without effect: ", columns_without_effect(names));
}

}  // namespace

SftExamples load_sft_examples(const SftSource& source, const SftLayout& layout) {
  const std::unique_ptr<JsonRows> rows = open_rows(source);
  Loader loader(source, layout);
  const uint64_t total = std::filesystem::is_directory(source.path) ? 0 : std::filesystem::file_size(source.path);
  Progress progress("reading examples", static_cast<int64_t>(total), ProgressUnit::kBytes);
  JsonRow row;
  while ((source.max_samples == 0 || loader.num_rows() < source.max_samples) && rows->next(row)) {
    loader.add(row);
    progress.update(static_cast<int64_t>(rows->bytes_consumed()));
  }
  SftExamples examples = loader.finish();
  log_columns_without_effect(source, loader, *rows);
  HICI_CHECK(examples.num_samples() > 0, source.path.string(), ": no token of an answer is left of any of its ",
             counted(examples.counts().dropped, "example"), " within `sequence_length` ", layout.max_length,
             "; raise it");
  return examples;
}

}  // namespace hici::data
