// SPDX-License-Identifier: Apache-2.0
#include "hici/train/training_data.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/is_there.h"
#include "hici/base/log.h"
#include "hici/base/memory.h"
#include "hici/base/sha256.h"
#include "hici/base/text_table.h"
#include "hici/data/arrow/files.h"
#include "hici/data/sft/load_sft.h"
#include "hici/data/token_blocks.h"
#include "hici/data/token_mix.h"
#include "hici/data/token_sidecar.h"
#include "hici/data/tokenize_corpus.h"
#include "hici/text/tokenizer.h"

#include <algorithm>
#include <numeric>
#include <utility>

namespace hici::train {
namespace {

constexpr const char* kLengthOption = "`sequence_length`";

struct Source {
  std::filesystem::path path;
  std::string split;
  int64_t max_samples = 0;            // of examples; 0: all
  std::filesystem::path made_tokens;  // what text becomes
};

Source training_source(const TrainingRunSpec& spec) {
  return {spec.data_path, spec.split, spec.sft ? spec.sft->max_samples : 0, spec.output_dir / "data.bin"};
}

Source evaluation_source(const TrainingRunSpec& spec) {
  const EvaluationSpec& evaluation = *spec.evaluation;
  return {evaluation.data_path, evaluation.split.empty() ? spec.split : evaluation.split, 0,
          spec.output_dir / "eval_data.bin"};
}

std::filesystem::path token_path(const Source& source) {
  return data::is_text_source(source.path) ? source.made_tokens : source.path;
}

data::ModelData model_data_of(const TrainingRunSpec& spec, const Source& source, int64_t vocab_size) {
  return {.path = source.path,
          .model = spec.model,
          .vocab_size = vocab_size,
          .text_field = spec.text_field,
          .split = source.split};
}

// Makes what token_path() says, where it must be made.
void prepare_tokens(const TrainingRunSpec& spec, const Source& source, int64_t vocab_size) {
  if (!data::is_text_source(source.path)) return;
  const std::filesystem::path output = token_path(source);
  const auto made = data::read_sidecar(output);
  // Ids of an Arrow data set have no tokenizer.
  const bool is_of_tokenizer = made && (made->tokenizer_sha256 == io::tokenizer_sha256_in(spec.model) ||
                                        (made->tokenizer_sha256.empty() && data::is_arrow_data(source.path)));
  const bool is_kept = is_of_tokenizer && made->sources == std::vector<std::string>{source.path.string()} &&
                       std::filesystem::exists(output);
  if (!spec.resume.empty() && is_kept) return;
  const data::TokenizeResult result = data::write_token_file(model_data_of(spec, source, vocab_size), output);
  if (!spec.packs_documents && result.counts.num_tokens < spec.train.sequence_length) {
    for (const std::filesystem::path& file : {output, data::sidecar_path(output)}) std::filesystem::remove(file);
    data::check_fills_a_block(source.path.string(), result.counts.num_tokens, spec.train.sequence_length,
                              kLengthOption);
  }
  log_info(source.path.string(), ": ", counted(result.counts.num_tokens, "token"), " of ",
           counted(result.counts.num_documents, "document"), ", kept as ", output.string());
}

// A dry run has its token file in a temporary folder.
data::TokenFile open_token_file(const TrainingRunSpec& spec, const Source& source, int64_t vocab_size) {
  if (spec.dry_run && data::is_text_source(source.path))
    return data::open_tokens(model_data_of(spec, source, vocab_size), std::nullopt);
  return data::TokenFile::open(token_path(source), {.vocab_size = vocab_size, .type = spec.token_type});
}

void use_documents(const TrainingRunSpec& spec, const Source& source, const DataUse& use, TrainingData& data) {
  const int64_t length = spec.train.sequence_length;
  auto rows = std::make_unique<data::DocumentRows>(*data.tokens, use.marks,
                                                   data::DocumentLayout{length, use.segment_length}, "`packing`");
  data.identity = {source.path.string(), data.tokens->sha256(), rows->num_samples()};
  const double share =
      100.0 * static_cast<double>(rows->num_tokens()) / static_cast<double>(rows->num_samples() * length);
  data.description = hici::detail::concat(counted(rows->num_documents(), "document"), " in ",
                                          counted(rows->num_samples(), "row"), " of ", counted(length, "token"), ", ",
                                          fixed_digits(share, 1), " % filled; ", rows->num_cut(), " longer ones cut");
  data.samples = std::move(rows);
}

TrainingData open_blocks(const TrainingRunSpec& spec, const Source& source, const DataUse& use) {
  TrainingData data;
  data.tokens = std::make_unique<data::TokenFile>(open_token_file(spec, source, use.vocab_size));
  if (data.tokens->info()) data.tokenizer_sha256 = data.tokens->info()->tokenizer_sha256;
  if (spec.packs_documents) {
    use_documents(spec, source, use, data);
    return data;
  }
  auto blocks = std::make_unique<data::TokenBlocks>(*data.tokens, spec.train.sequence_length, kLengthOption);
  data.identity = {source.path.string(), data.tokens->sha256(), blocks->num_blocks()};
  data.description = counted(blocks->num_blocks(), "block") + " of " + counted(blocks->block_length(), "token");
  data.samples = std::move(blocks);
  return data;
}

// Of each file the blocks; its text, if it is any, becomes a token file of its own.
TrainingData open_mix(const TrainingRunSpec& spec, const DataUse& use, const parallel::World& world) {
  TrainingData data;
  std::vector<std::unique_ptr<data::BatchSource>> parts;
  std::vector<double> weights;
  Sha256 hash;
  for (const data::MixPart& part : spec.mix) {
    const Source source{part.path, spec.split, 0,
                        spec.output_dir / hici::detail::concat("data-", parts.size() + 1, ".bin")};
    if (!spec.dry_run) parallel::on_leader(world, [&] { prepare_tokens(spec, source, use.vocab_size); });
    TrainingData one = open_blocks(spec, source, use);
    data.description += (parts.empty() ? "" : "; ") + part.path + ": " + one.description;
    data.identity.path += (parts.empty() ? "" : ",") + part.path + ":" + shortest_number(part.weight);
    data.identity.num_samples += one.identity.num_samples;
    // Of tokenizers that differ, one that is not the model's is named.
    if (data.tokenizer_sha256.empty() || one.tokenizer_sha256 != io::tokenizer_sha256_in(spec.model))
      data.tokenizer_sha256 = one.tokenizer_sha256;
    hash.update(one.identity.fingerprint.data(), one.identity.fingerprint.size());
    parts.push_back(std::move(one.samples));
    weights.push_back(part.weight);
    data.mixed.push_back({part.path, part.weight, one.identity.fingerprint, std::move(one.tokens)});
  }
  data.identity.fingerprint = hash.hex_digest();
  data.samples = std::make_unique<data::TokenMix>(std::move(parts), std::move(weights));
  return data;
}

TrainingData open_examples(const TrainingRunSpec& spec, const Source& source, const DataUse& use) {
  const SftSpec& sft = *spec.sft;
  const data::SftLayout layout{.max_length = spec.train.sequence_length,
                               .segment_length = spec.attention == nn::AttentionKind::kFull ? 0 : sft.segment_length,
                               .packing = sft.packing,
                               .drops_empty_segments = !spec.train.stream_segments};
  auto examples = std::make_unique<data::SftExamples>(
      data::load_sft_examples({.path = source.path,
                               .split = source.split,
                               .max_samples = source.max_samples,
                               .model = spec.model,
                               .prompt_style = parse_enum<data::PromptStyle>(sft.prompt_style, "`prompt_style`"),
                               .vocab_size = use.vocab_size},
                              layout));
  TrainingData data;
  data.identity = {source.path.string(), examples->fingerprint(), examples->num_samples()};
  data.description = data::describe(examples->counts(), layout.max_length);
  data.is_chat = 2 * examples->counts().chats > examples->counts().examples;
  if (sft.packing) data.description += "; packed into " + counted(examples->num_samples(), "sequence");
  data.samples = std::move(examples);
  return data;
}

TrainingData open_data(const TrainingRunSpec& spec, const Source& source, const DataUse& use,
                       const parallel::World& world) {
  if (!spec.sft && !spec.dry_run) parallel::on_leader(world, [&] { prepare_tokens(spec, source, use.vocab_size); });
  TrainingData data = spec.sft ? open_examples(spec, source, use) : open_blocks(spec, source, use);
  // A tokenizer takes as much as a small model. It is gone by now, but what it took is still the process's, in holes
  // that no tensor fits.
  release_freed_memory();
  return data;
}

}  // namespace

// BOS and EOS of config.json and of the tokenizer. An id that is both ends documents: Qwen's <|endoftext|>.
DataUse data_use(const TrainingRunSpec& spec, const config::ModelConfig& config, int64_t segment_length) {
  DataUse use{config.vocab_size, segment_length, {}};
  if (!spec.packs_documents) return use;
  use.marks.ends.insert(config.eos_token_id.begin(), config.eos_token_id.end());
  if (config.bos_token_id) use.marks.starts.insert(*config.bos_token_id);
  if (is_there(spec.model / "tokenizer.json")) {
    const text::Tokenizer tokenizer = text::Tokenizer::from_path(spec.model, 1);
    if (tokenizer.eos_id()) use.marks.ends.insert(*tokenizer.eos_id());
    if (tokenizer.bos_id()) use.marks.starts.insert(*tokenizer.bos_id());
  }
  for (const int64_t id : use.marks.ends) use.marks.starts.erase(id);
  return use;
}

std::string mix_identity(const TrainingData& data) {
  std::string text;
  for (const MixedData& each : data.mixed)
    text += (text.empty() ? "" : ",") + each.sha256 + ":" + shortest_number(each.weight);
  return text;
}

std::string mix_shares(const TrainingData& data, const data::SamplerPosition& position, uint64_t seed) {
  const auto& mix = dynamic_cast<const data::TokenMix&>(*data.samples);
  const std::vector<int64_t> counts = mix.counts_before(position, seed);
  const auto all = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  std::string text;
  for (size_t i = 0; i < counts.size(); ++i)
    text += hici::detail::concat(i == 0 ? "" : ", ", data.mixed[i].path, " ",
                                 fixed_digits(static_cast<double>(counts[i]) / std::max(all, 1.0), 4), " (",
                                 counted(counts[i], "sequence"), ")");
  return text;
}

TrainingData open_training_data(const TrainingRunSpec& spec, const DataUse& use, const parallel::World& world) {
  if (!spec.mix.empty()) {
    TrainingData data = open_mix(spec, use, world);
    release_freed_memory();
    return data;
  }
  return open_data(spec, training_source(spec), use, world);
}

TrainingData open_evaluation_data(const TrainingRunSpec& spec, const DataUse& use, const parallel::World& world) {
  return open_data(spec, evaluation_source(spec), use, world);
}

}  // namespace hici::train
