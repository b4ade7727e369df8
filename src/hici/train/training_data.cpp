// SPDX-License-Identifier: Apache-2.0
#include "hici/train/training_data.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/log.h"
#include "hici/base/memory.h"
#include "hici/data/arrow/files.h"
#include "hici/data/sft/load_sft.h"
#include "hici/data/token_blocks.h"
#include "hici/data/tokenize_corpus.h"

namespace hici::train {
namespace {

std::filesystem::path token_path(const TrainingRunSpec& spec) {
  return data::is_text_source(spec.data_path) ? spec.output_dir / "data.bin" : spec.data_path;
}

// Makes what token_path() says, where it must be made.
void prepare_tokens(const TrainingRunSpec& spec, int64_t vocab_size) {
  if (!data::is_text_source(spec.data_path)) return;
  const std::filesystem::path output = token_path(spec);
  const auto made = data::read_sidecar(output);
  // Ids of an Arrow data set have no tokenizer.
  const bool is_of_tokenizer = made && (made->tokenizer_sha256 == io::tokenizer_sha256_in(spec.model) ||
                                        (made->tokenizer_sha256.empty() && data::is_arrow_data(spec.data_path)));
  const bool is_kept = is_of_tokenizer && made->sources == std::vector<std::string>{spec.data_path.string()} &&
                       std::filesystem::exists(output);
  if (!spec.resume.empty() && is_kept) return;
  const data::TokenizeResult result = data::write_token_file({.path = spec.data_path,
                                                              .model = spec.model,
                                                              .vocab_size = vocab_size,
                                                              .text_field = spec.text_field,
                                                              .split = spec.split},
                                                             output);
  log_info(spec.data_path.string(), ": ", counted(result.counts.num_tokens, "token"), " of ",
           counted(result.counts.num_documents, "document"), ", kept as ", output.string());
}

TrainingData open_blocks(const TrainingRunSpec& spec, int64_t vocab_size) {
  TrainingData data;
  data.tokens = std::make_unique<data::TokenFile>(
      data::TokenFile::open(token_path(spec), {.vocab_size = vocab_size, .type = spec.token_type}));
  auto blocks = std::make_unique<data::TokenBlocks>(*data.tokens, spec.train.sequence_length, "`sequence_length`");
  data.identity = {spec.data_path.string(), data.tokens->sha256(), blocks->num_blocks()};
  if (data.tokens->info()) data.tokenizer_sha256 = data.tokens->info()->tokenizer_sha256;
  data.description = counted(blocks->num_blocks(), "block") + " of " + counted(blocks->block_length(), "token");
  data.samples = std::move(blocks);
  return data;
}

TrainingData open_examples(const TrainingRunSpec& spec, int64_t vocab_size) {
  const SftSpec& sft = *spec.sft;
  const data::SftLayout layout{.max_length = spec.train.sequence_length,
                               .segment_length = spec.attention == nn::AttentionKind::kFull ? 0 : sft.segment_length,
                               .packing = sft.packing,
                               .drops_empty_segments = !spec.train.stream_segments};
  auto examples = std::make_unique<data::SftExamples>(
      data::load_sft_examples({.path = spec.data_path,
                               .split = spec.split,
                               .max_samples = sft.max_samples,
                               .model = spec.model,
                               .prompt_style = parse_enum<data::PromptStyle>(sft.prompt_style, "`prompt_style`"),
                               .vocab_size = vocab_size},
                              layout));
  TrainingData data;
  data.identity = {spec.data_path.string(), examples->fingerprint(), examples->num_samples()};
  data.description = data::describe(examples->counts(), layout.max_length);
  data.is_chat = 2 * examples->counts().chats > examples->counts().examples;
  if (sft.packing) data.description += "; packed into " + counted(examples->num_samples(), "sequence");
  data.samples = std::move(examples);
  return data;
}

}  // namespace

TrainingData open_training_data(const TrainingRunSpec& spec, int64_t vocab_size, const parallel::World& world) {
  if (!spec.sft) parallel::on_leader(world, [&] { prepare_tokens(spec, vocab_size); });
  TrainingData data = spec.sft ? open_examples(spec, vocab_size) : open_blocks(spec, vocab_size);
  // A tokenizer takes as much as a small model. It is gone by now, but what it took is still the process's, in holes
  // that no tensor fits.
  release_freed_memory();
  return data;
}

}  // namespace hici::train
