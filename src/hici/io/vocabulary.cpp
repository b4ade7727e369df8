// SPDX-License-Identifier: Apache-2.0
#include "hici/io/vocabulary.h"

#include "hici/base/error.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/base/log.h"
#include "hici/config/parameter_names.h"
#include "hici/io/random_model.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace hici::io {
namespace {

constexpr const char *kEmbedding = config::kEmbeddingName, *kHead = config::kHeadName;

bool has_vocabulary_rows(const std::string& name) { return name == kEmbedding || name == kHead; }

// Another source, with embedding and head of `rows` rows.
class ExtendedRows final : public TensorSource {
 public:
  ExtendedRows(std::shared_ptr<const TensorSource> inner, int64_t rows)
      : inner_(std::move(inner)), tensors_(inner_->tensors()) {
    for (auto& [name, info] : tensors_)
      if (has_vocabulary_rows(name)) info.shape[0] = rows;
  }

  using TensorSource::read;
  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  at::Tensor read(const std::string& name, at::ScalarType dtype, at::Device device) const override {
    if (!has_vocabulary_rows(name)) return inner_->read(name, dtype, device);
    const at::Tensor old = inner_->read(name);
    at::Tensor out = at::empty(info(name).shape, at::TensorOptions(dtype));
    out.narrow(0, 0, old.size(0)).copy_(old);
    const at::ScalarType sum_type = old.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
    // Rounded to the type of the file, so that every reader sees the same row.
    const at::Tensor mean = at::mean(old, {0}, true, sum_type).to(old.scalar_type());
    out.narrow(0, old.size(0), out.size(0) - old.size(0)).copy_(mean);
    return out.to(device);
  }
  std::string file_of(const std::string& name) const override { return inner_->file_of(name); }
  std::string content_of(const std::string& name) const override { return inner_->content_of(name); }

 private:
  std::shared_ptr<const TensorSource> inner_;
  std::map<std::string, TensorInfo> tensors_;
};

// Another source, with every tensor under its name and the embedding also as the head.
std::shared_ptr<const TensorSource> with_head(const std::shared_ptr<const TensorSource>& inner) {
  TensorNames names = own_names(*inner, [](const std::string& name) { return name != kHead; });
  names.emplace_back(kHead, kEmbedding);
  return std::make_shared<RenamedSource>(inner, names);
}

// Every tensor of the adapter under its name, and one of them also as `name`.
void add_alias(Adapter& adapter, const char* name, const char* from) {
  TensorNames names = own_names(*adapter.trainables, [](const std::string&) { return true; });
  names.emplace_back(name, from);
  adapter.trainables = std::make_shared<RenamedSource>(adapter.trainables, names);
}

// The rows of a tied embedding, which PEFT stores for the head once more where the vocabulary grew.
void drop_rows_of_tied_head(Adapter& adapter) {
  const Fold *const embedding = adapter.fold_of("model.embed_tokens"), *const head = adapter.fold_of("lm_head");
  if (embedding == nullptr || head == nullptr || head->lora || embedding->rows != head->rows) return;
  const TensorSource& source = *adapter.lora_tensors;
  if (!at::equal(source.read(embedding->module + kTokenRows), source.read(head->module + kTokenRows))) return;
  std::erase_if(adapter.folds, [](const Fold& fold) { return fold.module == "lm_head"; });
}

// Whether PEFT changes one of a tied pair and leaves the other: factors on one of them, rows of the head, an embedding
// that modules_to_save stores. (Rows of the embedding are the head's too.)
bool changes_one_of_two(const Adapter& adapter) {
  const Fold* const embedding = adapter.fold_of("model.embed_tokens");
  const bool saves_embedding = adapter.trainables->has(kEmbedding) && adapter.is_saved_whole(kEmbedding);
  return (embedding != nullptr && embedding->lora) || adapter.fold_of("lm_head") != nullptr ||
         (saves_embedding && !adapter.trainables->has(kHead) && !adapter.peft.ties_weights);
}

void untie_as_peft(ModelDirectory& base, Adapter& adapter) {
  const Fold* const embedding = adapter.fold_of("model.embed_tokens");
  HICI_CHECK(embedding == nullptr || embedding->rows.empty(), adapter.path.string(),
             ": has trainable_token_indices of a tied embedding and an output head of its own, which is not supported; "
             "merge it into its base with PEFT (merge_and_unload)");
  // The base's own weight in the adapter is that of both.
  const bool has_embedding = adapter.trainables->has(kEmbedding), has_head = adapter.trainables->has(kHead);
  if (has_embedding && !has_head && adapter.copies.contains(kEmbedding)) add_alias(adapter, kHead, kEmbedding);
  if (has_head && !has_embedding && adapter.copies.contains(kHead)) add_alias(adapter, kEmbedding, kHead);
  log_info(adapter.path.string(), ": changes one of embedding and output head, so they are no longer tied");
  base.untie_head();
}

void settle_head(ModelDirectory& base, Adapter& adapter) {
  if (!base.config().tie_word_embeddings) return;
  drop_rows_of_tied_head(adapter);
  if (changes_one_of_two(adapter)) return untie_as_peft(base, adapter);
  if (!adapter.trainables->has(kHead)) return;
  const TensorSource& source = *adapter.trainables;
  if (!source.has(kEmbedding) || !at::equal(source.read(kEmbedding), source.read(kHead))) {
    log_info(adapter.path.string(), ": has an output head of its own, so it is no longer tied to the embedding");
    return base.untie_head();
  }
  adapter.trainables = part_of(adapter.trainables, [](const std::string& name) { return name != kHead; });
}

int64_t rows_of(const Adapter& adapter, const char* name) {
  if (!adapter.trainables->has(name)) return 0;
  const std::vector<int64_t>& shape = adapter.trainables->info(name).shape;
  return shape.size() == 2 ? shape[0] : 0;
}

// Rows that the adapter wants more than the base has; said on the way.
int64_t rows_for(const ModelDirectory& base, const Adapter& adapter) {
  const int64_t embedding = rows_of(adapter, kEmbedding), head = rows_of(adapter, kHead);
  const int64_t present = base.config().vocab_size, rows = std::max(embedding, head), more = rows - present;
  if (more <= 0) return present;
  HICI_CHECK(embedding == 0 || head == 0 || embedding == head, adapter.path.string(), ": its embedding has ", embedding,
             " rows and its output head ", head, "; do the files belong to different adapters?");
  const char* new_head = base.config().tie_word_embeddings ? ""
                         : head > 0                        ? "; the head's come from the adapter"
                                                           : "; the head's are the mean of the old rows";
  log_info(adapter.path.string(), ": its embedding has ", rows, " rows, the base ", present,
           ": the vocabulary grows by ", more, more == 1 ? " row (the research code's [PAD])" : " rows", new_head);
  return rows;
}

void check_pad_token_is_new(const ModelDirectory& base) {
  const fs::path file = base.path() / "tokenizer_config.json";
  if (is_there(file)) {
    const nlohmann::json config = read_companion_json(file);
    HICI_CHECK(!JsonObject(config, file.string()).has("pad_token"), "`add_pad_token`: ", file.string(),
               " has the pad_token ", shown_json(config["pad_token"]), " already; leave the option out");
  }
  if (!is_there(base.path() / "tokenizer.json")) return;
  const int64_t ids = read_tokenizer_facts(base.path()).vocab_size;
  HICI_CHECK(ids >= base.config().vocab_size, "`add_pad_token`: ", base.path().string(), " has ", ids, " tokens and ",
             base.config().vocab_size, " rows, so [PAD] needs no row; leave the option out");
}

}  // namespace

void ModelDirectory::extend_vocabulary(int64_t rows) {
  for (const char* name : {kEmbedding, kHead}) {
    if (!weights_->has(name)) continue;  // check_against() says what is missing
    const TensorInfo& info = weights_->info(name);
    const std::vector<int64_t> wanted{config_.vocab_size, config_.hidden_size};
    HICI_CHECK(info.shape == wanted, weights_->file_of(name), ": tensor '", name, "' is ", shown_shape(info.shape),
               ", expected ", shown_shape(wanted), "; config.json says vocab_size ", config_.vocab_size);
  }
  weights_ = std::make_shared<ExtendedRows>(weights_, rows);
  config_.vocab_size = rows;
}

void ModelDirectory::untie_head() {
  weights_ = with_head(weights_);
  config_.tie_word_embeddings = false;
}

void resize_vocabulary(ModelDirectory& base, Adapter* adapter, bool add_pad_token) {
  if (adapter != nullptr) settle_head(base, *adapter);
  const int64_t present = base.config().vocab_size;
  int64_t rows = adapter != nullptr ? rows_for(base, *adapter) : present;
  if (add_pad_token && rows == present) {
    check_pad_token_is_new(base);
    log_info("`add_pad_token`: the vocabulary of ", base.path().string(), " grows from ", present, " to ", present + 1,
             " rows; the new one ([PAD]) is the mean of the old ones");
    rows = present + 1;
  }
  if (rows > present) base.extend_vocabulary(rows);
}

}  // namespace hici::io
