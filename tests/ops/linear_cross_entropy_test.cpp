// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/linear_cross_entropy.h"

#include "support/gradcheck.h"

namespace hici::ops {
namespace {

at::Tensor some_labels(int64_t n, int64_t vocabulary) {
  at::Tensor labels = at::randint(vocabulary, {n}, at::TensorOptions().dtype(at::kLong));
  labels[1].fill_(kIgnoredLabel);
  return labels;
}

TEST(LinearCrossEntropyTest, MatchesLibTorchOnWholeLogits) {
  at::manual_seed(1);
  const at::Tensor hidden = testing::randn64({9, 6}), weight = testing::randn64({11, 6}), labels = some_labels(9, 11);
  const at::Tensor expected =
      at::cross_entropy_loss(at::matmul(hidden, weight.t()), labels, {}, at::Reduction::Sum, kIgnoredLabel);
  EXPECT_NEAR(linear_cross_entropy(hidden, weight, labels).item<double>(), expected.item<double>(), 1e-11);
}

TEST(LinearCrossEntropyTest, BackwardOfHiddenAndWeightMatchesCentralDifferences) {
  at::manual_seed(2);
  const at::Tensor labels = some_labels(5, 7);
  testing::check_gradients(
      [&](const std::vector<at::Tensor>& in) { return linear_cross_entropy(in[0], in[1], labels); },
      {testing::randn64({5, 4}), testing::randn64({7, 4})});
}

// 2^24 logits a chunk over a vocabulary of 2^18 are 64 tokens: 150 tokens make three chunks, the last one short.
TEST(LinearCrossEntropyTest, ChunksGiveWhatOnePieceGives) {
  at::manual_seed(3);
  const int64_t vocabulary = 1 << 18;
  const at::Tensor hidden = testing::randn64({150, 4}).requires_grad_(), weight = testing::randn64({vocabulary, 4});
  const at::Tensor labels = some_labels(150, vocabulary);
  const at::Tensor loss = linear_cross_entropy(hidden, weight, labels);
  const at::Tensor whole = hidden.detach().clone().requires_grad_();
  const at::Tensor expected =
      at::cross_entropy_loss(at::matmul(whole, weight.t()), labels, {}, at::Reduction::Sum, kIgnoredLabel);
  loss.backward();
  expected.backward();
  EXPECT_NEAR(loss.item<double>() / expected.item<double>(), 1.0, 1e-12);
  EXPECT_TRUE(at::allclose(hidden.grad(), whole.grad(), 1e-9, 1e-11));
}

TEST(ScoreTokensTest, GivesLogProbabilityAndArgmax) {
  at::manual_seed(4);
  const at::Tensor hidden = testing::randn64({6, 5}), weight = testing::randn64({8, 5});
  const at::Tensor targets = at::randint(8, {6}, at::TensorOptions().dtype(at::kLong));
  const TokenScores scores = score_tokens(hidden, weight, targets);
  const at::Tensor log_probabilities = at::log_softmax(at::matmul(hidden, weight.t()), -1);
  EXPECT_TRUE(
      at::allclose(scores.log_likelihood, log_probabilities.gather(1, targets.unsqueeze(1)).squeeze(1), 1e-12, 1e-12));
  EXPECT_TRUE(at::equal(scores.argmax, log_probabilities.argmax(1)));
}

}  // namespace
}  // namespace hici::ops
