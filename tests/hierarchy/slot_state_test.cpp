// SPDX-License-Identifier: Apache-2.0
// Statistics of slots that come segment by segment against those made from all at once, which golden tests tie to the
// reference. B = 2 batch, N segments, M = 3 slots, C = 5 hidden
#include "hici/hierarchy/slot_state.h"

#include "hici/ops/slot_statistics.h"
#include "support/gradcheck.h"

namespace hici::hierarchy {
namespace {

using testing::randn64;

config::HiciConfig with_mode(config::CausalMode mode) {
  config::HiciConfig config;
  config.num_local_slots = 3;
  config.causal_mode = mode;
  return config;
}

at::Tensor statistics_one_by_one(const at::Tensor& slots_BNMC) {
  const int64_t per_segment = slots_BNMC.size(2);
  SlotState state = empty_slot_state(with_mode(config::CausalMode::kCausalGi), slots_BNMC.size(0), slots_BNMC.size(3),
                                     slots_BNMC.options());
  std::vector<at::Tensor> all;
  for (int64_t i = 0; i < slots_BNMC.size(1); ++i) {
    state = add_slots(state, slots_BNMC.select(1, i));
    all.push_back(statistics_of_state(state, (i + 1) * per_segment));
  }
  return at::stack(all, 1);
}

at::Tensor gradient(const std::function<at::Tensor(const at::Tensor&)>& statistics, const at::Tensor& slots,
                    const at::Tensor& cotangent) {
  const at::Tensor leaf = slots.detach().clone().requires_grad_();
  return torch::autograd::grad({statistics(leaf)}, {leaf}, {cotangent})[0];
}

// Both ways in float64; running sums and cumulative sums differ by rounding at most.
void expect_agreement(const at::Tensor& slots) {
  const at::Tensor whole = ops::statistics_up_to_each(slots);
  EXPECT_TRUE(at::allclose(statistics_one_by_one(slots), whole, 1e-12, 1e-12));
  const at::Tensor cotangent = at::randn_like(whole);
  EXPECT_TRUE(at::allclose(gradient(statistics_one_by_one, slots, cotangent),
                           gradient(ops::statistics_up_to_each, slots, cotangent), 1e-11, 1e-11));
}

TEST(SlotStateTest, StatisticsAndTheirGradientsAreThoseOfAllAtOnce) {
  at::manual_seed(1);
  for (const int64_t segments : {1, 2, 7}) {
    SCOPED_TRACE(segments);
    expect_agreement(randn64({2, segments, 3, 5}));
  }
}

// In bfloat16 equal slots are common. Whole numbers from -1 to 1 tie in nearly every column, within segments and
// between them.
TEST(SlotStateTest, TiedMaximaAndMinimaSendTheirGradientToTheSamePlace) {
  at::manual_seed(2);
  expect_agreement(at::randint(-1, 2, {2, 7, 3, 5}, at::TensorOptions().dtype(at::kDouble)));
}

TEST(SlotStateTest, SumsAreInFloat32AndOnlyWhatAModeReadsIsKept) {
  const auto options = at::TensorOptions().dtype(at::kBFloat16);
  const auto list = [&](config::HiciConfig config) { return to_list(empty_slot_state(config, 2, 5, options)); };
  const nn::LayerState gi = list(with_mode(config::CausalMode::kCausalGi));
  ASSERT_EQ(gi.size(), 1u);
  EXPECT_EQ(gi[0].scalar_type(), at::kFloat);
  EXPECT_EQ(gi[0].sizes(), (std::vector<int64_t>{2, 4, 5}));
  const nn::LayerState shift = list(with_mode(config::CausalMode::kCausalShift));
  ASSERT_EQ(shift.size(), 2u);
  EXPECT_EQ(shift[1].scalar_type(), at::kBFloat16);
  EXPECT_EQ(shift[1].sizes(), (std::vector<int64_t>{2, 3, 5}));
  config::HiciConfig local_only = with_mode(config::CausalMode::kCausalGi);
  local_only.use_global_integrator = false;
  EXPECT_TRUE(list(local_only).empty());
}

}  // namespace
}  // namespace hici::hierarchy
