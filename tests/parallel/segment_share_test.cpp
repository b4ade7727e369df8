// SPDX-License-Identifier: Apache-2.0
#include "hici/parallel/segment_share.h"

#include "parallel/group_of_threads.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <gtest/gtest.h>

namespace hici::parallel {
namespace {

// Gathered slots are those of the whole sequence, and each process's slots get the sum of the gradients that all have.
TEST(SegmentShareTest, GathersSlotsAndSumsTheirGradients) {
  for (const int64_t segments : {6, 5}) {  // the last one of 5 is padding
    const at::Tensor whole = at::randn({2, 6, 3, 4}, at::kDouble);
    const at::Tensor weight = at::randn({3, 2, segments, 3, 4}, at::kDouble);  // of each process's loss
    testing::in_threads(3, [&](const ProcessGroup& group) {
      const SegmentShare share{&group, segments};
      const at::Tensor own = whole.narrow(1, group.rank() * 2, 2).clone().requires_grad_();
      const at::Tensor all = gather_segments(own, share);
      EXPECT_TRUE(at::equal(all, whole.narrow(1, 0, segments)));
      torch::autograd::backward({(all * weight[group.rank()]).sum()}, {});
      at::Tensor expected = at::zeros({2, 6, 3, 4}, at::kDouble);
      expected.narrow(1, 0, segments).copy_(weight.sum(0));
      EXPECT_TRUE(at::allclose(own.grad(), expected.narrow(1, group.rank() * 2, 2), 0, 1e-14));
    });
  }
}

TEST(SegmentShareTest, OwnRowsOfPaddingAreThoseOfTheLastSegment) {
  const at::Tensor all = at::arange(5, at::kDouble).view({1, 5});
  testing::in_threads(3, [&](const ProcessGroup& group) {
    const at::Tensor own = own_segments(all, {&group, 5}, 2);
    const auto first = 2.0 * static_cast<double>(group.rank());
    EXPECT_TRUE(at::equal(own, at::arange(first, first + 2, at::kDouble).clamp_max(4).view({1, 2}))) << own;
  });
}

// A process that reads nothing of what it gathered must take part in the backward pass, or the others wait for ever.
TEST(SegmentShareTest, SlotsThatNobodyReadHereAreInTheGraph) {
  testing::in_threads(2, [](const ProcessGroup& group) {
    const at::Tensor own = at::ones({1, 1, 1, 2}, at::kDouble).requires_grad_(), x = at::ones({2}, at::kDouble);
    const at::Tensor all = gather_segments(own, {&group, 2});
    const at::Tensor out = group.rank() == 0 ? keep_in_graph(x.clone().requires_grad_(), all) : x * all.sum();
    torch::autograd::backward({out.sum()}, {});
    EXPECT_TRUE(at::equal(own.grad(), at::full_like(own, 2.0)));
  });
}

}  // namespace
}  // namespace hici::parallel
