// SPDX-License-Identifier: Apache-2.0
#include "hici/parallel/process_group.h"

#include "parallel/group_of_threads.h"

#include <ATen/ATen.h>

#include <gtest/gtest.h>

namespace hici::parallel {
namespace {

TEST(ProcessGroupTest, AGroupOfOneDoesNothing) {
  const ProcessGroup alone;
  const at::Tensor t = at::arange(6, at::kDouble);
  at::Tensor out = at::zeros({1, 6}, at::kDouble), own = at::zeros({6}, at::kDouble);
  alone.all_reduce_sum(t);
  alone.all_gather(out, t);
  alone.reduce_scatter(own, out);
  alone.broadcast(t, 0);
  alone.barrier(at::kCPU);
  EXPECT_TRUE(at::equal(own, at::arange(6, at::kDouble)));
}

TEST(ProcessGroupTest, CollectivesAreWhatTheyAreCalledInEveryType) {
  for (const at::ScalarType type : {at::kFloat, at::kDouble, at::kBFloat16, at::kLong}) {
    testing::in_threads(3, [&](const ProcessGroup& group) {
      const auto rank = static_cast<double>(group.rank());
      const at::Tensor own = at::full({2, 2}, rank, at::TensorOptions().dtype(type));
      at::Tensor sum = own.clone(), most = own.clone();
      group.all_reduce_sum(sum);
      group.all_reduce_max(most);
      EXPECT_TRUE(at::equal(sum, at::full_like(own, 3)));
      EXPECT_TRUE(at::equal(most, at::full_like(own, 2)));

      const at::Tensor all = at::zeros({3, 2, 2}, own.options());
      group.all_gather(all, own);
      for (int64_t r = 0; r < 3; ++r) EXPECT_TRUE(at::equal(all[r], at::full_like(own, r))) << r;

      const at::Tensor scattered = at::zeros_like(own);
      group.reduce_scatter(scattered, all);
      EXPECT_TRUE(at::equal(scattered, at::full_like(own, 3 * rank)));

      at::Tensor told = own.clone();
      group.broadcast(told, 1);
      EXPECT_TRUE(at::equal(told, at::full_like(own, 1)));
    });
  }
}

// The sharded optimizer's way: a process's part lies in the whole.
TEST(ProcessGroupTest, APartOfTheWholeIsGatheredAndScatteredInPlace) {
  testing::in_threads(2, [](const ProcessGroup& group) {
    const at::Tensor all = at::full({2, 3}, 1.0 + static_cast<double>(group.rank()), at::kDouble);
    group.reduce_scatter(all[group.rank()], all);
    EXPECT_TRUE(at::equal(all[group.rank()], at::full({3}, 3.0, at::kDouble)));
    all[group.rank()].fill_(static_cast<double>(10 + group.rank()));
    group.all_gather(all, all[group.rank()]);
    EXPECT_TRUE(at::equal(all, at::arange(10, 12, at::kDouble).unsqueeze(1).expand({2, 3})));
  });
}

TEST(ProcessGroupTest, SendsAndReceives) {
  testing::in_threads(2, [](const ProcessGroup& group) {
    const at::Tensor t = at::full({4}, 7.0 + static_cast<double>(group.rank()), at::kFloat);
    if (group.rank() == 0) return group.send(t, 1);
    group.receive(t, 0);
    EXPECT_TRUE(at::equal(t, at::full({4}, 7.0, at::kFloat)));
  });
}

}  // namespace
}  // namespace hici::parallel
