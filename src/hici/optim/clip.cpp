// SPDX-License-Identifier: Apache-2.0
#include "hici/optim/clip.h"

#include <ATen/ATen.h>

#include <cmath>

namespace hici::optim {
namespace {

constexpr auto kHici = static_cast<size_t>(GroupKind::kHici);
constexpr auto kRest = static_cast<size_t>(GroupKind::kRest);

std::vector<at::Tensor> only_defined(const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> kept;
  for (const at::Tensor& t : tensors) {
    if (t.defined()) kept.push_back(t);
  }
  return kept;
}

double clip_factor(double norm, double limit) {
  return limit > 0 && std::isfinite(norm) && norm > limit ? limit / (norm + 1e-6) : 1.0;
}

}  // namespace

std::array<double, kNumGroups> squared_norms(const GroupedTensors& gradients) {
  std::array<int64_t, kNumGroups> counts{};
  std::vector<at::Tensor> norms;
  for (size_t group = 0; group < gradients.size(); ++group) {
    const std::vector<at::Tensor> kept = only_defined(gradients[group]);
    if (kept.empty()) continue;  // LibTorch refuses an empty list
    counts[group] = static_cast<int64_t>(kept.size());
    for (at::Tensor& norm : at::_foreach_norm(kept)) norms.push_back(std::move(norm));
  }
  std::array<double, kNumGroups> squares{};
  if (norms.empty()) return squares;
  // Norms of the tensors on the device, one transfer, the sum of squares in double.
  const at::Tensor on_host = at::stack(norms).to(at::kCPU, at::kDouble);
  int64_t begin = 0;
  for (size_t group = 0; group < squares.size(); begin += counts[group++]) {
    if (counts[group] > 0) squares[group] = on_host.narrow(0, begin, counts[group]).square().sum().item<double>();
  }
  return squares;
}

Clipping clipping_of(const std::array<double, kNumGroups>& squares, const ClipLimits& limits) {
  Clipping clipping;
  clipping.hici_norm = std::sqrt(squares[kHici]);
  const double hici_factor = clip_factor(clipping.hici_norm, limits.hici);
  const double clipped = clipping.hici_norm * hici_factor;
  clipping.norm = std::sqrt(clipped * clipped + squares[kRest]);  // squares: finite in float64 whatever the weights are
  const double factor = clip_factor(clipping.norm, limits.all);
  clipping.factors[kHici] = hici_factor * factor;
  clipping.factors[kRest] = factor;
  return clipping;
}

void scale(const GroupedTensors& gradients, const std::array<double, kNumGroups>& factors) {
  for (size_t group = 0; group < gradients.size(); ++group) {
    const std::vector<at::Tensor> kept = only_defined(gradients[group]);
    if (factors[group] != 1.0 && !kept.empty()) at::_foreach_mul_(kept, factors[group]);
  }
}

Clipping clip(const GroupedTensors& gradients, const ClipLimits& limits,
              const std::function<Squares(const Squares& own)>& over_processes) {
  const Squares own = squared_norms(gradients);
  const Clipping clipping = clipping_of(over_processes ? over_processes(own) : own, limits);
  scale(gradients, clipping.factors);
  return clipping;
}

}  // namespace hici::optim
