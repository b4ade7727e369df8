// SPDX-License-Identifier: Apache-2.0
// Frozen weights and an optimizer's state in host memory, on a GPU: the same kernels on the same values, so a copy that
// came late or was overwritten would show. Fails, not skips, without a GPU: only lanes that have one run the label
// `gpu`.
#include "hici/device/cuda_plugin.h"
#include "hici/device/device.h"
#include "hici/optim/adamw.h"
#include "train/placed_model.h"

#include <utility>

namespace hici::train {
namespace {

using enum nn::ActivationPolicy;

// Attention by plain products, which add in a fixed order: the fused ones may not, and a difference would say nothing.
const Place kGpu{at::Device(at::kCUDA, 0), at::kBFloat16, 512, 512, 1024, 4, ops::AttentionBackend::kMath};

class GpuPlaceWeightsTest : public ::testing::TestWithParam<Case> {
 protected:
  static void SetUpTestSuite() { device::require_cuda_device("cuda:0", 0); }
};

TEST_P(GpuPlaceWeightsTest, GradientsAreThoseOfWeightsThatStayBitForBit) {
  const Gradients expected = run(GetParam(), {}, kGpu);
  {
    SCOPED_TRACE("the same once more");
    expect_same(run(GetParam(), {}, kGpu), expected);
  }
  for (int repetition = 0; repetition < 3; ++repetition) {
    SCOPED_TRACE(repetition);
    expect_same(run(GetParam(), placing({}, /*on_host=*/true, GetParam(), kGpu.device), kGpu), expected);
    expect_same(run(GetParam(), placing({}, /*on_host=*/false, GetParam(), kGpu.device), kGpu), expected);
  }
}

INSTANTIATE_TEST_SUITE_P(Cases, GpuPlaceWeightsTest,
                         ::testing::Values(Case{"kept", 9, {}}, Case{"kept_even", 8, {}},
                                           Case{"recomputed_mlps", 9, nn::ActivationPolicies(9, kRecomputeMlp)},
                                           Case{"recomputed", 8, nn::ActivationPolicies(8, kRecompute)},
                                           Case{"offloaded", 8, nn::ActivationPolicies(8, kOffload)},
                                           Case{"mixed", 5, {kOffload, kKeep, kRecompute, kRecomputeMlp, kKeep}},
                                           Case{"streamed", 8, {}, true}, Case{"streamed_odd", 7, {}, true},
                                           Case{"eight_bits", 6, {}, false, config::BaseFormat::kFp8},
                                           Case{"four_bits", 6, {}, false, config::BaseFormat::kNf4},
                                           Case{"four_bits_double", 6, {}, false, config::BaseFormat::kNf4Double}),
                         [](const auto& each) { return std::string(each.param.name); });

TEST(GpuHostStateTest, OptimizerStateInHostMemoryGivesTheSameNumbersBitForBit) {
  device::require_cuda_device("cuda:0", 0);
  const auto run = [](bool on_host) {
    at::manual_seed(4);
    const auto options = at::TensorOptions().device(kGpu.device);
    std::vector<optim::TrainedParameter> parameters;
    std::vector<at::Tensor> gradients;
    const int64_t piece = optim::HostState::kPieceElements;
    for (const auto& [name, size] : {std::pair{"small", int64_t{7}}, {"large", 5 * piece + 3}, {"middle", 4096}}) {
      parameters.push_back({name, at::randn({size}, options).to(at::kBFloat16).requires_grad_()});
      gradients.push_back(at::randn({size}, options));
    }
    optim::AdamW optimizer(parameters, {.state_on_host = on_host});
    for (int step = 0; step < 4; ++step) optimizer.step(gradients, {0.01, 0.02});
    Gradients result;
    optimizer.visit_state([&](const std::string& name, at::Tensor& t) { result[name] = t.cpu(); });
    for (const optim::TrainedParameter& each : parameters) result[each.name] = each.tensor.detach().cpu();
    return result;
  };
  expect_same(run(true), run(false));
}

}  // namespace
}  // namespace hici::train
