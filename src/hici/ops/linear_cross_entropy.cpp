// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/linear_cross_entropy.h"

#include "hici/base/error.h"
#include "hici/device/kernel_table.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

namespace hici::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// The kernels compute in float32; float64 takes the composite path.
at::Tensor chunk_logits(const at::Tensor& hidden, const at::Tensor& weight) {
  const at::Tensor logits = at::matmul(hidden, weight.t());
  return has_kernel(logits) ? logits : logits.to(accumulation_type(hidden.scalar_type()));
}

class LinearCrossEntropy : public torch::autograd::Function<LinearCrossEntropy> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& hidden, const at::Tensor& weight,
                            const at::Tensor& labels, bool wants_hidden, bool wants_weight) {
    const auto accumulation_dtype = accumulation_type(hidden.scalar_type());
    at::Tensor loss = at::zeros({}, hidden.options().dtype(accumulation_dtype));
    at::Tensor dhidden = wants_hidden ? at::empty_like(hidden) : at::Tensor();
    at::Tensor dweight =
        wants_weight ? at::zeros(weight.sizes(), weight.options().dtype(accumulation_dtype)) : at::Tensor();
    const int64_t step = loss_chunk_tokens(hidden.is_cuda(), weight.size(0));
    for (int64_t at = 0; at < hidden.size(0); at += step) {
      const int64_t n = std::min(step, hidden.size(0) - at);
      const at::Tensor h = hidden.narrow(0, at, n);
      const at::Tensor dlogits = add_chunk(loss, chunk_logits(h, weight), labels.narrow(0, at, n));
      const at::Tensor dlogits_model = dlogits.to(hidden.scalar_type());
      if (wants_hidden) {
        at::Tensor dh = dhidden.narrow(0, at, n);
        at::mm_out(dh, dlogits_model, weight);
      }
      if (wants_weight) dweight.add_(at::matmul(dlogits_model.t(), h));
    }
    ctx->saved_data["weight_type"] = static_cast<int64_t>(weight.scalar_type());
    ctx->save_for_backward({dhidden, dweight});
    return loss;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const auto weight_type = static_cast<at::ScalarType>(ctx->saved_data["weight_type"].toInt());
    at::Tensor dhidden, dweight;
    if (saved[0].defined()) dhidden = saved[0] * grads[0].to(saved[0].scalar_type());
    if (saved[1].defined()) dweight = (saved[1] * grads[0]).to(weight_type);
    return {dhidden, dweight, at::Tensor(), at::Tensor(), at::Tensor()};
  }

 private:
  // Adds the chunk's loss and returns softmax - one_hot(label), zero where the label is ignored; reuses `logits`.
  static at::Tensor add_chunk(at::Tensor& loss, at::Tensor logits, const at::Tensor& labels) {
    if (has_kernel(logits)) {
      at::Tensor losses = at::empty(labels.sizes(), loss.options());
      device::cuda_kernels().cross_entropy(logits, labels, kIgnoredLabel, losses);
      loss.add_(losses.sum());
      return logits;
    }
    const at::Tensor kept = labels.ne(kIgnoredLabel).unsqueeze(1);
    const at::Tensor index = labels.clamp_min(0).unsqueeze(1);
    const at::Tensor log_normaliser = at::logsumexp(logits, {1}, /*keepdim=*/true);
    loss.add_((log_normaliser - logits.gather(1, index)).masked_fill_(kept.logical_not(), 0).sum());
    at::Tensor gradient = logits.sub_(log_normaliser).exp_();
    gradient.scatter_add_(1, index, at::full_like(log_normaliser, -1));
    return gradient.mul_(kept);
  }
};

}  // namespace

// At least 64: 64 MiB of float32 on a CPU; on a GPU 256 MiB of a 16-bit type, so that the products have enough rows to
// be fast.
int64_t loss_chunk_tokens(bool on_gpu, int64_t vocabulary) {
  const int64_t logits_per_chunk = int64_t{on_gpu ? 128 : 16} << 20;
  return std::max<int64_t>(64, logits_per_chunk / vocabulary);
}

at::Tensor linear_cross_entropy(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& labels) {
  HICI_ASSERT(hidden.dim() == 2 && labels.dim() == 1 && hidden.size(0) == labels.size(0), "hidden ", hidden.sizes(),
              " labels ", labels.sizes());
  HICI_ASSERT(weight.size(1) == hidden.size(1), "hidden ", hidden.sizes(), " weight ", weight.sizes());
  const bool grad = at::GradMode::is_enabled();
  return LinearCrossEntropy::apply(hidden, weight, labels, grad && hidden.requires_grad(),
                                   grad && weight.requires_grad());
}

TokenScores score_tokens(const at::Tensor& hidden, const at::Tensor& weight, const at::Tensor& targets) {
  const at::NoGradGuard no_grad;
  const int64_t n = hidden.size(0), step = loss_chunk_tokens(hidden.is_cuda(), weight.size(0));
  TokenScores scores{at::empty({n}, hidden.options().dtype(accumulation_type(hidden.scalar_type()))),
                     at::empty({n}, targets.options())};
  for (int64_t at = 0; at < n; at += step) {
    const int64_t count = std::min(step, n - at);
    const at::Tensor logits = chunk_logits(hidden.narrow(0, at, count), weight);
    if (has_kernel(logits)) {
      at::Tensor log_likelihood = scores.log_likelihood.narrow(0, at, count),
                 argmax = scores.argmax.narrow(0, at, count);
      device::cuda_kernels().token_scores(logits, targets.narrow(0, at, count), log_likelihood, argmax);
      continue;
    }
    const at::Tensor target_logits = logits.gather(1, targets.narrow(0, at, count).unsqueeze(1)).squeeze(1);
    scores.log_likelihood.narrow(0, at, count).copy_(target_logits - at::logsumexp(logits, {1}));
    scores.argmax.narrow(0, at, count).copy_(at::argmax(logits, 1));
  }
  return scores;
}

}  // namespace hici::ops
