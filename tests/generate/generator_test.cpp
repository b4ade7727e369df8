// SPDX-License-Identifier: Apache-2.0
#include "hici/generate/generator.h"

#include "generate/tiny_model.h"
#include "hici/hierarchy/hierarchy.h"
#include "support/counted_memory.h"
#include "support/error_message.h"

#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <set>

namespace hici::generate {
namespace {

using config::Family;
using hici::testing::counted_prompt;
using hici::testing::tiny_model;

at::Tensor recomputed_logits(const nn::CausalLm& model, const Ids& ids) {
  const at::NoGradGuard no_grad;
  const at::Tensor hidden = model.forward_hidden(at::tensor(ids, at::kLong).unsqueeze(0), {});
  return at::linear(hidden.select(1, hidden.size(1) - 1), model.head_weight())[0];
}

// The most probable next token, again and again, each time from the whole sequence.
Ids recomputed_answer(const nn::CausalLm& model, Ids ids, int64_t count) {
  Ids answer;
  for (int64_t i = 0; i < count; ++i) {
    answer.push_back(recomputed_logits(model, ids).argmax().item<int64_t>());
    ids.push_back(answer.back());
  }
  return answer;
}

TEST(DecodeSessionTest, LogitsAreThoseOfRecomputationFromScratchAtEveryStep) {
  for (const Family family : {Family::kLlama, Family::kQwen3}) {
    const nn::CausalLm model = tiny_model(family, at::kDouble);
    for (const int64_t chunk : {1, 5, 64}) {
      SCOPED_TRACE(::testing::Message() << name_of(family) << ", chunks of " << chunk);
      Ids ids = counted_prompt(17, 7);
      DecodeSession session(model, {.batch = 1, .capacity = 32});
      nn::PrefillOptions options;
      options.chunk = chunk;
      session.set_logits(0, nn::prefill(model, at::tensor(ids, at::kLong).unsqueeze(0), session.cache(), options));
      session.positions_B().fill_(17);
      for (int64_t step = 0; step < 15; ++step) {
        // float64, sums in other orders
        EXPECT_LT((session.logits_BV()[0] - recomputed_logits(model, ids)).abs().max().item<double>(), 1e-9) << step;
        ids.push_back(session.logits_BV()[0].argmax().item<int64_t>());
        session.tokens_B().fill_(ids.back());
        session.advance();
      }
    }
  }
}

TEST(PrefillTest, MemoryBesideTheCacheIsThatOfAChunkHoweverLongThePromptIs) {
  const nn::CausalLm model = tiny_model(Family::kLlama, at::kFloat);
  auto peak_of = [&](int64_t length) {
    const at::Tensor ids = at::tensor(counted_prompt(length, 7), at::kLong).unsqueeze(0);
    DecodeSession session(model, {.batch = 1, .capacity = length});
    const hici::testing::CountedMemory memory;
    nn::PrefillOptions options;
    options.chunk = 64;
    nn::prefill(model, ids, session.cache(), options);
    return memory.peak();
  };
  const int64_t peak = peak_of(2048);
  EXPECT_GT(peak, 64 * 32 * 4);  // at least a chunk's hidden states
  EXPECT_EQ(peak_of(8192), peak);
}

TEST(GeneratorTest, ABatchOfUnequalPromptsGivesWhatEachPromptGivesAlone) {
  const nn::CausalLm model = tiny_model(Family::kLlama, at::kDouble);
  const std::vector<Ids> prompts{counted_prompt(23, 5), counted_prompt(1, 1), counted_prompt(9, 11),
                                 counted_prompt(9, 11)};
  Generator generator(model);
  const std::vector<Answer> answers = generator.generate(prompts, {.max_new_tokens = 20, .prefill_chunk = 4});
  EXPECT_EQ(generator.speed().prompt_tokens, 32);  // of the third the first token is there, of the fourth all
  EXPECT_EQ(generator.speed().decoded_tokens, 4 * 19);
  for (size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_EQ(answers[i].ids, recomputed_answer(model, prompts[i], 20)) << i;
    EXPECT_EQ(answers[i].finish_reason, FinishReason::kLength);
  }
}

Ids joined(Ids ids, const Ids& more) {
  ids.insert(ids.end(), more.begin(), more.end());
  return ids;
}

// In float64, where a token that is chosen from other rounding would be a coincidence.
TEST(GeneratorTest, WhatPromptsBeginWithIsForwardedOnceAndChangesNoAnswer) {
  const nn::CausalLm model = tiny_model(Family::kQwen3, at::kDouble);
  const Ids shared = counted_prompt(40, 7);
  const std::vector<Ids> prompts{joined(shared, {1, 2, 3}), counted_prompt(11, 5), joined(shared, {1, 2, 60, 4, 5}),
                                 counted_prompt(5, 5)};
  Generator generator(model);
  const auto expect_answers = [&](const std::vector<Ids>& asked, int64_t forwarded) {
    const std::vector<Answer> answers = generator.generate(asked, {.max_new_tokens = 12, .prefill_chunk = 16});
    for (size_t i = 0; i < asked.size(); ++i) EXPECT_EQ(answers[i].ids, recomputed_answer(model, asked[i], 12)) << i;
    EXPECT_EQ(generator.speed().prompt_tokens, forwarded);
  };
  // All have their first token in common. Of the fourth the last token is forwarded for its logits.
  expect_answers(prompts, 43 + 10 + 3 + 1);
  expect_answers(prompts, 4);  // of the call before; each has its own rows
  // From rows of others, which are overwritten meanwhile: the first from the third, the third from the first of now.
  expect_answers({joined(shared, {1, 2, 60, 9}), {4, 4}, joined(shared, {1, 2, 60, 9, 9}), shared}, 1 + 2 + 1 + 1);
  expect_answers({counted_prompt(3, 11)}, 3);  // another number of sequences has a new cache
}

TEST(GeneratorTest, KeysOfAnotherRopeFactorOrAnotherAttentionAreNotReused) {
  nn::CausalLm model = tiny_model(Family::kLlama, at::kDouble);
  const Ids prompt = counted_prompt(30, 7);
  Generator generator(model);
  GenerateOptions options{.max_new_tokens = 12};
  const Ids first = generator.generate({prompt}, options)[0].ids;
  model.set_context_factor(4);
  EXPECT_EQ(generator.generate({prompt}, options)[0].ids, recomputed_answer(model, prompt, 12));
  EXPECT_EQ(generator.speed().prompt_tokens, 30);
  EXPECT_NE(generator.generate({prompt}, options)[0].ids, first);
  EXPECT_EQ(generator.speed().prompt_tokens, 1);
  options.attention = nn::AttentionKind::kHici;  // slots would read the whole prompt
  for (int i = 0; i < 2; ++i) {
    generator.generate({prompt}, options);
    EXPECT_EQ(generator.speed().prompt_tokens, 30);
  }
  options.attention = nn::AttentionKind::kFull;
  generator.generate({prompt}, options);
  EXPECT_EQ(generator.speed().prompt_tokens, 30);
}

TEST(GeneratorTest, AStopIdEndsItsSequenceAloneAndIsNotInTheAnswer) {
  const nn::CausalLm model = tiny_model(Family::kLlama, at::kDouble);
  const std::vector<Ids> prompts{counted_prompt(6, 5), counted_prompt(7, 13)};
  const Ids whole = recomputed_answer(model, prompts[0], 12), other = recomputed_answer(model, prompts[1], 12);
  const int64_t stop = whole[4];
  const auto end = [&](const Ids& ids) { return Ids(ids.begin(), std::find(ids.begin(), ids.end(), stop)); };
  Generator generator(model);
  const std::vector<Answer> answers = generator.generate(prompts, {.max_new_tokens = 12, .stop_ids = {-1, stop}});
  EXPECT_EQ(answers[0].ids, end(whole));
  EXPECT_EQ(answers[0].finish_reason, FinishReason::kStopToken);
  EXPECT_EQ(answers[0].stop_id, stop);
  EXPECT_EQ(answers[1].ids, end(other));
}

TEST(GeneratorTest, BeforeTheLeastNumberOfTokensNoStopIdIsChosen) {
  const nn::CausalLm model = tiny_model(Family::kLlama, at::kDouble);
  const std::vector<Ids> prompts{counted_prompt(6, 5), counted_prompt(7, 13)};
  // The rule by hand: logits of stop ids are minus infinity for the first three tokens, and end the answer after them.
  const std::vector<int64_t> stops{recomputed_answer(model, prompts[0], 1)[0], 5, 17, 23, 29, 41, 58};
  const auto expected = [&](Ids ids) {
    Ids answer;
    for (int64_t step = 0; step < 12; ++step) {
      at::Tensor logits = recomputed_logits(model, ids);
      if (step < 3) {
        for (const int64_t stop : stops) logits[stop].fill_(-std::numeric_limits<double>::infinity());
      }
      const auto id = logits.argmax().item<int64_t>();
      if (std::find(stops.begin(), stops.end(), id) != stops.end()) break;
      answer.push_back(id);
      ids.push_back(id);
    }
    return answer;
  };
  GenerateOptions options{.max_new_tokens = 12, .stop_ids = stops};
  Generator generator(model);
  EXPECT_TRUE(generator.generate({prompts[0]}, options)[0].ids.empty());
  options.min_new_tokens = 3;
  options.stop_ids.push_back(-1);  // ids that the model does not have, as some configs name them
  options.stop_ids.push_back(5000);
  const std::vector<Answer> answers = generator.generate(prompts, options);
  for (size_t i = 0; i < prompts.size(); ++i) {
    EXPECT_GE(answers[i].ids.size(), 3U);
    EXPECT_EQ(answers[i].ids, expected(prompts[i])) << i;
  }
  // Drawn answers too.
  options.sampling = {.temperature = 3, .seed = 4};
  for (options.first_stream = 0; options.first_stream < 40; ++options.first_stream) {
    EXPECT_GE(generator.generate({prompts[0]}, options)[0].ids.size(), 3U);
  }
}

TEST(GeneratorTest, TheCallbackSeesEveryTokenOnceInOrderAndMayEndASequence) {
  const nn::CausalLm model = tiny_model(Family::kQwen3, at::kDouble);
  const std::vector<Ids> prompts{counted_prompt(4, 5), counted_prompt(8, 3)};
  std::vector<Ids> seen(2);
  Generator generator(model);
  const std::vector<Answer> answers =
      generator.generate(prompts, {.max_new_tokens = 9}, [&](size_t sequence, int64_t id) {
        seen[sequence].push_back(id);
        return sequence == 1 || seen[0].size() < 3;
      });
  EXPECT_EQ(answers[0].ids.size(), 3U);
  EXPECT_EQ(answers[0].finish_reason, FinishReason::kCallback);
  EXPECT_EQ(answers[1].ids.size(), 9U);
  EXPECT_EQ(seen, (std::vector<Ids>{answers[0].ids, answers[1].ids}));
}

TEST(GeneratorTest, DrawnAnswersDependOnSeedAndStreamAndNotOnTheBatchOrTheCallsBefore) {
  const nn::CausalLm model = tiny_model(Family::kLlama, at::kDouble);
  const Ids prompt = counted_prompt(5, 9);
  GenerateOptions options{.max_new_tokens = 16, .sampling = {.temperature = 1.5, .seed = 11}};
  Generator generator(model);
  const std::vector<Answer> together = generator.generate({prompt, prompt, prompt}, options);
  EXPECT_NE(together[0].ids, together[1].ids);
  for (const uint64_t stream : {2, 0, 1}) {
    options.first_stream = stream;
    EXPECT_EQ(generator.generate({prompt}, options)[0].ids, together[stream].ids) << stream;
  }
  options.first_stream = 0;
  options.sampling.seed = 12;
  EXPECT_NE(generator.generate({prompt}, options)[0].ids, together[0].ids);
}

// The next prompt takes the place of a sequence that has ended; no answer depends on which one that is.
TEST(GeneratorTest, MorePromptsThanPlacesGiveWhatEachPromptGivesAlone) {
  nn::CausalLm model(hici::testing::tiny_config(Family::kLlama), {at::kDouble});
  hierarchy::attach_hierarchy(model, hici::testing::tiny_hici(config::CausalMode::kCausalGi), {at::kDouble});
  at::manual_seed(9);
  model.visit_parameters([](const std::string&, at::Tensor& t) { t = at::randn(t.sizes(), at::kDouble).mul_(0.4); });
  std::vector<Ids> prompts;
  for (int64_t i = 0; i < 8; ++i) prompts.push_back(counted_prompt(3 + i * 7 % 20, 1 + i));
  for (const size_t same : {2U, 6U, 7U}) prompts[same] = prompts[same - 1];
  std::vector<GenerateOptions> cases(5, {.max_new_tokens = 10, .stop_ids = {5, 17, 23, 29, 41, 58}});
  cases[1].attention = nn::AttentionKind::kHici;
  cases[2].min_new_tokens = 4;
  cases[3].sampling = {.temperature = 1.5, .seed = 3};
  cases[4] = {.max_new_tokens = 14,
              .min_new_tokens = 2,
              .stop_ids = {5, 17, 23},
              .sampling = {.temperature = 2, .repetition_penalty = 1.3, .seed = 5},
              .attention = nn::AttentionKind::kHici};
  for (size_t c = 0; c < cases.size(); ++c) {
    GenerateOptions options = cases[c];
    std::vector<Ids> alone;
    std::vector<FinishReason> reasons;
    for (size_t i = 0; i < prompts.size(); ++i) {
      options.first_stream = i;
      const Answer answer = Generator(model).generate({prompts[i]}, options)[0];
      alone.push_back(answer.ids);
      reasons.push_back(answer.finish_reason);
    }
    options.first_stream = 0;
    for (const int64_t places : {1, 3, 100}) {
      SCOPED_TRACE(::testing::Message() << "case " << c << ", " << places << " places");
      options.batch_size = places;
      std::vector<size_t> ended;
      Generator generator(model);
      for (int call = 0; call < (places == 3 ? 2 : 1); ++call) {  // the second finds the cache of the first
        ended.clear();
        const std::vector<Answer> answers =
            generator.generate(prompts, options, {}, [&](size_t i, const Answer& answer) {
              ended.push_back(i);
              EXPECT_EQ(answer.ids, alone[i]);
            });
        int64_t decoded = 0;
        for (size_t i = 0; i < prompts.size(); ++i) {
          EXPECT_EQ(answers[i].ids, alone[i]) << i;
          EXPECT_EQ(answers[i].finish_reason, reasons[i]) << i;
          const bool ends_with_stop = reasons[i] == FinishReason::kStopToken;
          decoded += static_cast<int64_t>(alone[i].size()) - (ends_with_stop ? 0 : 1);
        }
        EXPECT_EQ(generator.speed().decoded_tokens, decoded);
        EXPECT_EQ(std::set<size_t>(ended.begin(), ended.end()).size(), prompts.size());
        EXPECT_EQ(ended.size(), prompts.size());
      }
    }
  }
}

TEST(GeneratorTest, TheRepetitionPenaltyCountsPromptAndAnswer) {
  const nn::CausalLm model = tiny_model(Family::kLlama, at::kDouble);
  const Ids prompt = counted_prompt(5, 9);
  Generator generator(model);
  // So large that no token comes twice while there are others whose logit is positive.
  const Ids ids = generator.generate({prompt}, {.max_new_tokens = 8, .sampling = {.repetition_penalty = 1e6}})[0].ids;
  Ids all = prompt;
  all.insert(all.end(), ids.begin(), ids.end());
  std::sort(all.begin(), all.end());
  EXPECT_EQ(std::adjacent_find(all.begin(), all.end()), all.end());
}

TEST(GeneratorTest, ACacheBeyondTheMemorySaysWhatItNeeds) {
  const nn::CausalLm model = tiny_model(Family::kLlama, at::kDouble);
  Generator generator(model);
  const std::vector<Ids> prompts(4096, counted_prompt(2, 1));
  // 4096 sequences of 2^24 + 256 rows, each 2 * 3 layers * 2 heads * 8 * 8 bytes
  const std::string message =
      hici::testing::error_message([&] { generator.generate(prompts, {.max_new_tokens = 1 << 24}); });
  EXPECT_NE(message.find("key/value cache: needs 49152.8 GiB (4096 x 16777472 rows of 768 B), cpu has "),
            std::string::npos)
      << message;
}

// They used to give answers: nan is larger than every number for argmax.
TEST(GeneratorTest, WeightsThatAreNoNumbersEndItWithTheirName) {
  for (const double value : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    nn::CausalLm model = tiny_model(Family::kLlama, at::kFloat);
    model.visit_parameters([&](const std::string& name, at::Tensor& t) {
      if (name == "model.layers.1.mlp.up_proj.weight") t[3][2].fill_(value);
    });
    model.set_file_of("model.layers.1.mlp.up_proj.weight", "m/model.safetensors");
    for (const double temperature : {0.0, 0.7}) {
      Generator generator(model);
      const GenerateOptions options{.max_new_tokens = 4, .sampling = {.temperature = temperature}};
      const std::string message = hici::testing::error_message(
          [&] { generator.generate({counted_prompt(5, 9), counted_prompt(5, 9)}, options); });
      EXPECT_NE(message.find("m/model.safetensors: tensor 'model.layers.1.mlp.up_proj.weight' holds "),
                std::string::npos)
          << message;
      EXPECT_NE(message.find("token 0 of its answer) is not finite; fetch the file again"), std::string::npos)
          << message;
    }
  }
}

// A row of the embedding that no token of the prompt has: it shows when that token was chosen.
TEST(GeneratorTest, LogitsThatAreNoNumbersAreSeenAtEveryStep) {
  nn::CausalLm model = tiny_model(Family::kLlama, at::kDouble);
  const Ids prompt = counted_prompt(5, 9);
  Generator whole(model);
  const Ids ids = whole.generate({prompt}, {.max_new_tokens = 8})[0].ids;
  const auto is_new = [&](size_t i) {
    return std::find(prompt.begin(), prompt.end(), ids[i]) == prompt.end() &&
           std::find(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(i), ids[i]) ==
               ids.begin() + static_cast<std::ptrdiff_t>(i);
  };
  size_t at = 2;
  while (at < 7 && !is_new(at)) ++at;
  ASSERT_TRUE(is_new(at));
  model.embed_tokens()[ids[at]].fill_(std::numeric_limits<double>::quiet_NaN());
  Ids seen;
  const std::string message = hici::testing::error_message([&] {
    Generator(model).generate({prompt}, {.max_new_tokens = 8}, [&](size_t, int64_t id) {
      seen.push_back(id);
      return true;
    });
  });
  EXPECT_EQ(seen, Ids(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(at) + 1));
  EXPECT_NE(message.find("model: tensor 'model.embed_tokens.weight' holds nan"), std::string::npos) << message;
}

TEST(GeneratorTest, FiniteWeightsWhoseLogitsAreNotAreSaidToo) {
  nn::CausalLm model = tiny_model(Family::kLlama, at::kFloat);
  model.visit_parameters([&](const std::string& name, at::Tensor& t) {
    if (name == "lm_head.weight") t.fill_(std::numeric_limits<float>::max());
  });
  const std::string message =
      hici::testing::error_message([&] { Generator(model).generate({counted_prompt(5, 9)}, {.max_new_tokens = 2}); });
  EXPECT_NE(message.find("is not finite (nan or infinite), although all weights are finite; weights or config.json"),
            std::string::npos)
      << message;
}

TEST(GeneratorTest, BadPromptsAndOptionsAreOneLineEach) {
  const nn::CausalLm model = tiny_model(Family::kLlama, at::kDouble);
  Generator generator(model);
  auto message = [&](const Ids& prompt, const GenerateOptions& options) {
    return hici::testing::error_message([&] { generator.generate({prompt}, options); });
  };
  EXPECT_EQ(message({}, {}), "prompt: is empty; give at least one token");
  EXPECT_EQ(message({61}, {}),
            "prompt: token id 61 is not in the model's vocabulary of 61; does the tokenizer belong to another model?");
  EXPECT_EQ(message({1}, {.max_new_tokens = 0}), "`max_new_tokens`: 0 is out of range; use 1 to 16777216");
  EXPECT_EQ(message({1}, {.sampling = {.temperature = -1}}),
            "`temperature`: -1 is no temperature; use 0 (greedy) or more");
  EXPECT_EQ(message({1}, {.attention = nn::AttentionKind::kS2}),
            "`attention`: s2 has no form over a cache; use full, hici or dca");
}

}  // namespace
}  // namespace hici::generate
