// SPDX-License-Identifier: Apache-2.0
// Dual Chunk Attention over a cache against the forward over the whole sequence.
#include "generate/tiny_model.h"
#include "hici/generate/generator.h"
#include "support/counted_memory.h"

#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

namespace hici::generate {
namespace {

using config::Family;
using hici::testing::counted_prompt;
using hici::testing::tiny_model;

at::Tensor row_of(const Ids& ids) { return at::tensor(ids, at::kLong).unsqueeze(0); }

// [T, V] of the forward over the whole sequence.
at::Tensor whole_logits(const nn::CausalLm& model, const Ids& ids, const config::DualChunk& sizes) {
  const at::NoGradGuard no_grad;
  nn::ForwardOptions options;
  options.attention = nn::AttentionKind::kDca;
  options.dual_chunk = sizes;
  return at::linear(model.forward_hidden(row_of(ids), options), model.head_weight())[0];
}

// Prompts that end below, at and above the ends of chunks, prefilled in chunks that do not divide them; then tokens
// over the end of at least one more chunk.
TEST(DualChunkSessionTest, LogitsAreThoseOfTheWholeSequenceAtEveryStep) {
  constexpr int64_t kSteps = 12;
  for (const Family family : {Family::kLlama, Family::kQwen3}) {
    const nn::CausalLm model = tiny_model(family, at::kDouble);
    for (const auto& [chunk_len, chunk_size] : {std::pair<int64_t, int64_t>{8, 11}, {7, 20}, {10, 10}, {40, 60}}) {
      const config::DualChunk sizes{chunk_len, chunk_size, family == Family::kLlama ? 1.1 : 1.0};
      for (const int64_t length : {1, 7, 8, 9, 17}) {
        const Ids ids = counted_prompt(length + kSteps, 7);
        const at::Tensor expected = whole_logits(model, ids, sizes);
        for (const int64_t chunk : {5, 64}) {
          SCOPED_TRACE(::testing::Message() << name_of(family) << ", chunks of " << chunk_len << ", " << length
                                            << " tokens, " << chunk << " at once");
          DecodeSession session(model, {.batch = 1, .capacity = 48, .dual_chunk = sizes});
          nn::PrefillOptions options;
          options.attention = nn::AttentionKind::kDca;
          options.chunk = chunk;
          const at::Tensor prompt = row_of(ids).narrow(1, 0, length);
          session.set_logits(0, nn::prefill(model, prompt, session.cache(), options));
          session.positions_B().fill_(length);
          for (int64_t step = 0; step < kSteps; ++step) {
            const at::Tensor wanted = expected[length - 1 + step];
            // float64, sums in other orders
            ASSERT_LT((session.logits_BV()[0] - wanted).abs().max().item<double>(), 1e-9) << "step " << step;
            session.tokens_B().fill_(ids[static_cast<size_t>(length + step)]);
            session.advance();
          }
        }
      }
    }
  }
}

TEST(DualChunkSessionTest, ItIsFullAttentionWhereNoDistanceIsCut) {
  const nn::CausalLm model = tiny_model(Family::kQwen3, at::kDouble);
  const Ids ids = counted_prompt(20, 7);
  const at::NoGradGuard no_grad;
  const at::Tensor full = at::linear(model.forward_hidden(row_of(ids), {}), model.head_weight())[0];
  EXPECT_LT((whole_logits(model, ids, {20, 30, 1}) - full).abs().max().item<double>(), 1e-9);
  // In several chunks too, as long as no distance is cut.
  EXPECT_LT((whole_logits(model, ids, {10, 30, 1}) - full).abs().max().item<double>(), 1e-9);
  EXPECT_GT((whole_logits(model, ids, {10, 12, 1}) - full).abs().max().item<double>(), 1e-3);
}

TEST(DualChunkGeneratorTest, ABatchOfUnequalPromptsGivesWhatEachPromptGivesAlone) {
  const nn::CausalLm model = tiny_model(Family::kLlama, at::kDouble);
  const std::vector<Ids> prompts{counted_prompt(23, 5), counted_prompt(1, 1), counted_prompt(12, 11),
                                 counted_prompt(12, 11)};
  const GenerateOptions options{.max_new_tokens = 20,
                                .attention = nn::AttentionKind::kDca,
                                .dual_chunk = {.pretraining_length = 16, .local_window = 4},
                                .prefill_chunk = 5};
  const config::DualChunk sizes = options.dual_chunk.resolve(model.config());
  EXPECT_EQ(sizes.chunk_len, 8);
  Generator generator(model);
  const std::vector<Answer> answers = generator.generate(prompts, options);
  for (size_t i = 0; i < prompts.size(); ++i) {
    Ids ids = prompts[i];
    for (int64_t step = 0; step < options.max_new_tokens; ++step)
      ids.push_back(whole_logits(model, ids, sizes).select(0, -1).argmax().item<int64_t>());
    EXPECT_EQ(answers[i].ids, Ids(ids.begin() + static_cast<int64_t>(prompts[i].size()), ids.end())) << i;
  }
  // The session's cache is one of Dual Chunk Attention: other attention takes another.
  const Ids full = generator.generate({prompts[0]}, {.max_new_tokens = 20})[0].ids;
  EXPECT_NE(full, answers[0].ids);
  EXPECT_EQ(generator.generate({prompts[0]}, options)[0].ids, answers[0].ids);
}

TEST(DualChunkMemoryTest, OfAForwardItGrowsAsTheSequenceDoesAndOfAPromptNotAtAll) {
  const nn::CausalLm model = tiny_model(Family::kLlama, at::kFloat);
  const config::DualChunk sizes{128, 160, 1};
  auto peak_of_forward = [&](int64_t length) {
    const hici::testing::CountedMemory memory;
    const at::NoGradGuard no_grad;
    nn::ForwardOptions options;
    options.attention = nn::AttentionKind::kDca;
    options.dual_chunk = sizes;
    model.forward_hidden(row_of(counted_prompt(length, 7)), options);
    return memory.peak();
  };
  const int64_t of_forward = peak_of_forward(2048);
  EXPECT_GT(of_forward, 2048 * 32 * 4);  // at least the hidden states
  EXPECT_LE(peak_of_forward(8192), 4 * of_forward);
  auto peak_of_prefill = [&](int64_t length) {
    const at::Tensor ids = row_of(counted_prompt(length, 7));
    DecodeSession session(model, {.batch = 1, .capacity = length, .dual_chunk = sizes});
    const hici::testing::CountedMemory memory;
    nn::PrefillOptions options;
    options.attention = nn::AttentionKind::kDca;
    options.chunk = 64;
    nn::prefill(model, ids, session.cache(), options);
    return memory.peak();
  };
  const int64_t of_prefill = peak_of_prefill(2048);
  EXPECT_GT(of_prefill, 64 * 32 * 4);  // at least a chunk's hidden states
  EXPECT_EQ(peak_of_prefill(8192), of_prefill);
}

}  // namespace
}  // namespace hici::generate
