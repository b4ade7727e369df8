// SPDX-License-Identifier: Apache-2.0
// Generation on a GPU: the recorded step against the same step done anew and against the CPU. Fails, not skips, without
// a GPU: only lanes that have one run the label `gpu`.
#include "generate/tiny_model.h"
#include "hici/device/cuda_plugin.h"
#include "hici/generate/generator.h"

#include <ATen/core/grad_mode.h>
#include <gtest/gtest.h>

#include <limits>

namespace hici::generate {
namespace {

using config::Family;
using hici::testing::tiny_model;

class GpuGenerateTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { device::require_cuda_device("cuda:0", 0); }

  const std::vector<Ids> prompts_{{3, 10, 17, 24, 31, 38, 45, 52, 59, 5, 12}, {1}, {7, 7, 9, 60, 2}};
};

std::vector<Ids> ids_of(const std::vector<Answer>& answers) {
  std::vector<Ids> ids;
  for (const Answer& answer : answers) ids.push_back(answer.ids);
  return ids;
}

// The step is the first time not recorded, then recorded, then replayed; logits of every step, token by token given.
void expect_logits_of_the_cpu(Family family, const Ids& prompt, nn::AttentionKind attention,
                              const config::DualChunk& dual_chunk) {
  const at::NoGradGuard no_grad;
  const nn::CausalLm expected_model = tiny_model(family, at::kDouble);
  const nn::CausalLm model = tiny_model(family, at::kFloat, {at::kCUDA, 0});
  const SessionShape shape{.batch = 1, .capacity = 40, .dual_chunk = dual_chunk};
  DecodeSession expected(expected_model, shape), got(model, shape);
  const at::Tensor ids = at::tensor(prompt, at::kLong).unsqueeze(0);
  nn::PrefillOptions options;
  options.attention = attention;
  options.chunk = 4;
  for (const auto& [session, lm] : {std::pair{&expected, &expected_model}, {&got, &model}}) {
    const at::Tensor on_device = ids.to(lm->head_weight().device());
    session->set_logits(0, nn::prefill(*lm, on_device, session->cache(), options));
    session->positions_B().fill_(ids.size(1));
  }
  for (int64_t step = 0; step < 20; ++step) {
    const at::Tensor reference = expected.logits_BV();
    const at::Tensor difference = (got.logits_BV().cpu().to(at::kDouble) - reference).abs().max();
    // float32 through three layers against float64
    EXPECT_LE(difference.item<double>(), 1e-4 * reference.abs().max().item<double>()) << "step " << step;
    for (DecodeSession* session : {&expected, &got}) {
      session->tokens_B().fill_((step * 13 + 4) % 61);
      session->advance();
    }
  }
}

TEST_F(GpuGenerateTest, LogitsOfTheRecordedStepAreThoseOfTheCpu) {
  for (const Family family : {Family::kLlama, Family::kQwen3})
    expect_logits_of_the_cpu(family, prompts_[0], nn::AttentionKind::kFull, {});
}

// 11 tokens and 20 more, over the ends of several chunks: what a recorded step reads depends on the positions.
TEST_F(GpuGenerateTest, LogitsOfTheRecordedStepWithDualChunkAttentionAreThoseOfTheCpu) {
  for (const Family family : {Family::kLlama, Family::kQwen3}) {
    for (const config::DualChunk sizes : {config::DualChunk{6, 8, 1}, config::DualChunk{7, 20, 1.1}})
      expect_logits_of_the_cpu(family, prompts_[0], nn::AttentionKind::kDca, sizes);
  }
}

TEST_F(GpuGenerateTest, ARecordedStepGivesTheAnswersOfTheSameStepDoneAnew) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const nn::CausalLm model = tiny_model(Family::kLlama, type, {at::kCUDA, 0});
    for (const double temperature : {0.0, 1.0}) {
      SCOPED_TRACE(::testing::Message() << c10::toString(type) << ", temperature " << temperature);
      GenerateOptions options{.max_new_tokens = 30,
                              .sampling = {.temperature = temperature, .repetition_penalty = 1.1}};
      if (temperature > 0) {
        options.sampling.top_k = 40;
        options.sampling.top_p = 0.9;
      }
      Generator recorded(model), anew(model);
      const std::vector<Ids> first = ids_of(recorded.generate(prompts_, options));
      EXPECT_EQ(ids_of(recorded.generate(prompts_, options)), first);  // the session of the first call
      options.records_graph = false;
      EXPECT_EQ(ids_of(anew.generate(prompts_, options)), first);
    }
  }
}

// The flag comes out of the recorded step too, for each sequence by itself.
TEST_F(GpuGenerateTest, LogitsThatAreNoNumbersAreSeenInARecordedStep) {
  const at::NoGradGuard no_grad;
  const nn::CausalLm model = tiny_model(Family::kLlama, at::kFloat, {at::kCUDA, 0});
  DecodeSession session(model, {.batch = 2, .capacity = 40});
  const at::Tensor ids = at::tensor(prompts_[0], at::kLong).unsqueeze(0).to(model.head_weight().device());
  for (const int64_t b : {0, 1}) session.set_logits(b, nn::prefill(model, ids, session.cache().sequence(b), {}));
  session.positions_B().fill_(ids.size(1));
  for (int step = 0; step < 4; ++step) {
    session.tokens_B().fill_(7 * step);
    session.advance();
    EXPECT_TRUE(session.finite_B().all().item<bool>()) << step;
  }
  session.cache().layers[1].v_BXJD.select(0, 1).fill_(std::numeric_limits<double>::quiet_NaN());
  session.advance();
  EXPECT_TRUE(at::equal(session.finite_B().cpu(), at::tensor({1, 0}).to(at::kBool)));
}

TEST_F(GpuGenerateTest, GreedyAnswersInFloat32AreThoseOfTheCpu) {
  const nn::CausalLm on_cpu = tiny_model(Family::kQwen3, at::kFloat);
  const nn::CausalLm on_gpu = tiny_model(Family::kQwen3, at::kFloat, {at::kCUDA, 0});
  Generator expected(on_cpu), got(on_gpu);
  const GenerateOptions options{.max_new_tokens = 30, .prefill_chunk = 4};
  EXPECT_EQ(ids_of(got.generate(prompts_, options)), ids_of(expected.generate(prompts_, options)));
}

}  // namespace
}  // namespace hici::generate
