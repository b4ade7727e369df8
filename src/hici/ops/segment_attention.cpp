// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/segment_attention.h"

#include "hici/base/error.h"
#include "hici/ops/kernel_table.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>

namespace hici::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::pair<AttentionBackend, std::string_view> kNames[] = {{AttentionBackend::kAuto, "auto"},
                                                                    {AttentionBackend::kCudnn, "cudnn"},
                                                                    {AttentionBackend::kFlash, "flash"},
                                                                    {AttentionBackend::kMath, "math"}};

struct Inputs {
  at::Tensor q_GSHD, k_GKJD, v_GKJD;

  int64_t queries() const { return q_GSHD.size(1); }
  int64_t prefix() const { return k_GKJD.size(1) - queries(); }
  int64_t group() const { return q_GSHD.size(2) / k_GKJD.size(2); }
  double scale() const { return 1.0 / std::sqrt(static_cast<double>(q_GSHD.size(3))); }
};

// lse: log of the sum of exponentials over all keys of a query, [G, H, S] in float32 (float64 for float64).
struct Result {
  at::Tensor out_GSHD, lse_GHS;
  // What the backward wants back beside: the weights of the prefix on a CPU, random state and such of LibTorch's
  // FlashAttention on a GPU; else undefined.
  at::Tensor extra_a, extra_b;
};

struct Gradients {
  at::Tensor q_GSHD, k_GKJD, v_GKJD;
};

// [G, X, heads, D] -> [G, heads, X, D], each key/value head once for every query head that reads it.
at::Tensor heads_first(const at::Tensor& t_GXJD, int64_t group) {
  const at::Tensor t = t_GXJD.transpose(1, 2);
  return group == 1 ? t : t.repeat_interleave(group, 1);
}

// The way back: sums over the query heads of a group.
at::Tensor heads_last(const at::Tensor& t_GHXD, int64_t group) {
  if (group == 1) return t_GHXD.transpose(1, 2);
  return t_GHXD.unflatten(1, {t_GHXD.size(1) / group, group}).sum(2).transpose(1, 2);
}

at::Tensor delta_of(const at::Tensor& dout_GSHD, const at::Tensor& out_GSHD) {  // [G, H, S]
  const auto wide = accumulation_type(dout_GSHD.scalar_type());
  return (dout_GSHD.to(wide) * out_GSHD.to(wide)).sum(-1).transpose(1, 2);
}

// ---------------------------------------------------------------------------------------------- plain mathematics
// Over the keys [0, K') of a query, K' all of them or those of the prefix. Scores and weights are held whole in the
// accumulation type, keys first ([G, H, K', S]): sums over keys then run along memory.

struct HeadsFirst {
  at::Tensor q_GHSD, k_GHKD, v_GHKD;

  HeadsFirst(const Inputs& in, int64_t keys)
      : q_GHSD(in.q_GSHD.transpose(1, 2).contiguous()),  // once, or every product would
        k_GHKD(heads_first(in.k_GKJD.narrow(1, 0, keys), in.group()).contiguous()),
        v_GHKD(heads_first(in.v_GKJD.narrow(1, 0, keys), in.group()).contiguous()) {}
};

at::Tensor scores(const Inputs& in, const HeadsFirst& t) {  // [G, H, K', S]
  return at::matmul(t.k_GHKD * in.scale(), t.q_GHSD.transpose(-1, -2)).to(accumulation_type(in.q_GSHD.scalar_type()));
}

at::Tensor read_values(const HeadsFirst& t, const at::Tensor& weight_GHKS) {  // [G, S, H, D]
  return at::matmul(weight_GHKS.to(t.v_GHKD.scalar_type()).transpose(-1, -2), t.v_GHKD).transpose(1, 2);
}

// Gradients by way of these keys alone. `delta` is the sum over D of dout * out, out being that of all keys.
Gradients gradients_by(const Inputs& in, const HeadsFirst& t, const at::Tensor& weight_GHKS,
                       const at::Tensor& dout_GSHD, const at::Tensor& delta_GHS) {
  const auto narrow = in.q_GSHD.scalar_type();
  const at::Tensor dout = dout_GSHD.transpose(1, 2).contiguous();
  const at::Tensor dweight = at::matmul(t.v_GHKD, dout.transpose(-1, -2)).to(weight_GHKS.scalar_type());
  const at::Tensor dscore = dweight.sub_(delta_GHS.unsqueeze(2)).mul_(weight_GHKS).to(narrow);
  return {at::matmul(dscore.transpose(-1, -2), t.k_GHKD * in.scale()).transpose(1, 2),
          heads_last(at::matmul(dscore, t.q_GHSD).mul_(in.scale()), in.group()),
          heads_last(at::matmul(weight_GHKS.to(narrow), dout), in.group())};
}

at::Tensor causal_scores(const Inputs& in, const HeadsFirst& t) {
  const at::Tensor score = scores(in, t);
  const at::Tensor visible = at::ones({score.size(2), score.size(3)}, score.options().dtype(at::kBool));
  return score.masked_fill_(visible.tril(-in.prefix() - 1), -std::numeric_limits<double>::infinity());
}

Result math_forward(const Inputs& in) {
  const HeadsFirst t(in, in.k_GKJD.size(1));
  const at::Tensor score = causal_scores(in, t), lse = at::logsumexp(score, {2});
  return {read_values(t, (score - lse.unsqueeze(2)).exp_()), lse, {}, {}};
}

Gradients math_backward(const Inputs& in, const Result& result, const at::Tensor& dout_GSHD) {
  const HeadsFirst t(in, in.k_GKJD.size(1));
  const at::Tensor weight = causal_scores(in, t).sub_(result.lse_GHS.unsqueeze(2)).exp_();
  return gradients_by(in, t, weight, dout_GSHD, delta_of(dout_GSHD, result.out_GSHD));
}

// ------------------------------------------------------------------------------------ FlashAttention on the CPU
// LibTorch's kernel is causal from the top left, which is right for a segment's own tokens. The few keys of the prefix
// are seen by every query: they go through plain products, and the two softmaxes are joined by their log-sum-exp. In
// the backward each part needs nothing of the other but the joint log-sum-exp and output, so the kernel's own backward
// is exact when it is given those.

at::Tensor own_tokens(const Inputs& in, const at::Tensor& t_GKJD) {
  return heads_first(t_GKJD.narrow(1, in.prefix(), in.queries()), in.group());
}

Result cpu_flash_forward(const Inputs& in) {
  auto [out_GHSD, lse] = at::_scaled_dot_product_flash_attention_for_cpu(
      in.q_GSHD.transpose(1, 2), own_tokens(in, in.k_GKJD), own_tokens(in, in.v_GKJD), 0.0, /*is_causal=*/true);
  at::Tensor out = out_GHSD.transpose(1, 2);
  if (in.prefix() == 0) return {out, lse, {}, {}};
  const HeadsFirst slots(in, in.prefix());
  at::Tensor score = scores(in, slots);
  const at::Tensor joint = at::logaddexp(lse, at::logsumexp(score, {2}));
  const at::Tensor weight = score.sub_(joint.unsqueeze(2)).exp_();
  const at::Tensor share = (lse - joint).exp_().transpose(1, 2).unsqueeze(-1).to(out.scalar_type());  // [G, S, H, 1]
  return {out.mul_(share).add_(read_values(slots, weight)), joint, weight, {}};  // in place: keeps the layout
}

Gradients cpu_flash_backward(const Inputs& in, const Result& result, const at::Tensor& dout_GSHD) {
  auto [dq, dk, dv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
      dout_GSHD.transpose(1, 2), in.q_GSHD.transpose(1, 2), own_tokens(in, in.k_GKJD), own_tokens(in, in.v_GKJD),
      result.out_GSHD.transpose(1, 2), result.lse_GHS, 0.0, /*is_causal=*/true);
  Gradients own{dq.transpose(1, 2), heads_last(dk, in.group()), heads_last(dv, in.group())};
  if (in.prefix() == 0) return own;
  const Gradients slots =
      gradients_by(in, HeadsFirst(in, in.prefix()), result.extra_a, dout_GSHD, delta_of(dout_GSHD, result.out_GSHD));
  return {own.q_GSHD.add_(slots.q_GSHD), at::cat({slots.k_GKJD, own.k_GKJD}, 1),
          at::cat({slots.v_GKJD, own.v_GKJD}, 1)};
}

// ------------------------------------------------------------------------------------------------------- on a GPU

// FlashAttention-2 in LibTorch: the operator under scaled_dot_product_attention is causal from the bottom right.
Result gpu_flash_forward(const Inputs& in) {
  auto [out, lse, seed, unused, mask] =
      at::_flash_attention_forward(in.q_GSHD, in.k_GKJD, in.v_GKJD, {}, {}, in.queries(), in.k_GKJD.size(1), 0.0,
                                   /*is_causal=*/true, /*return_debug_mask=*/false, in.scale());
  return {out, lse, seed, unused};
}

Gradients gpu_flash_backward(const Inputs& in, const Result& result, const at::Tensor& dout_GSHD) {
  auto [dq, dk, dv] = at::_flash_attention_backward(dout_GSHD, in.q_GSHD, in.k_GKJD, in.v_GKJD, result.out_GSHD,
                                                    result.lse_GHS, {}, {}, in.queries(), in.k_GKJD.size(1), 0.0,
                                                    /*is_causal=*/true, result.extra_a, result.extra_b, in.scale());
  return {dq, dk, dv};
}

Result cudnn_forward(const Inputs& in) {
  Result result{at::empty_like(in.q_GSHD),
                at::empty({in.q_GSHD.size(0), in.q_GSHD.size(2), in.queries()}, in.q_GSHD.options().dtype(at::kFloat)),
                {},
                {}};
  cuda_kernels().cudnn_attention_forward(in.q_GSHD, in.k_GKJD, in.v_GKJD, in.scale(), result.out_GSHD, result.lse_GHS);
  return result;
}

Gradients cudnn_backward(const Inputs& in, const Result& result, const at::Tensor& dout_GSHD) {
  Gradients out{{}, at::empty_like(in.k_GKJD), at::empty_like(in.v_GKJD)};
  cuda_kernels().cudnn_attention_backward(dout_GSHD, in.q_GSHD, in.k_GKJD, in.v_GKJD, result.out_GSHD, result.lse_GHS,
                                          in.scale(), out.q_GSHD, out.k_GKJD, out.v_GKJD);
  return out;
}

Result run_forward(AttentionBackend backend, const Inputs& in) {
  if (backend == AttentionBackend::kCudnn) return cudnn_forward(in);
  if (backend == AttentionBackend::kMath) return math_forward(in);
  return in.q_GSHD.is_cuda() ? gpu_flash_forward(in) : cpu_flash_forward(in);
}

Gradients run_backward(AttentionBackend backend, const Inputs& in, const Result& result, const at::Tensor& dout) {
  if (backend == AttentionBackend::kCudnn) return cudnn_backward(in, result, dout);
  if (backend == AttentionBackend::kMath) return math_backward(in, result, dout);
  return in.q_GSHD.is_cuda() ? gpu_flash_backward(in, result, dout) : cpu_flash_backward(in, result, dout);
}

class SegmentAttention : public torch::autograd::Function<SegmentAttention> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            int64_t backend) {
    const Inputs in{q.contiguous(), k.contiguous(), v.contiguous()};
    const Result result = run_forward(static_cast<AttentionBackend>(backend), in);
    ctx->saved_data["backend"] = backend;
    ctx->save_for_backward(
        {in.q_GSHD, in.k_GKJD, in.v_GKJD, result.out_GSHD, result.lse_GHS, result.extra_a, result.extra_b});
    return result.out_GSHD;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const Gradients out =
        run_backward(static_cast<AttentionBackend>(ctx->saved_data["backend"].toInt()), {saved[0], saved[1], saved[2]},
                     {saved[3], saved[4], saved[5], saved[6]}, grads[0].contiguous());
    return {out.q_GSHD, out.k_GKJD, out.v_GKJD, at::Tensor()};
  }
};

bool is_16_bit(at::ScalarType type) { return type == at::kBFloat16 || type == at::kHalf; }

// Compute capability as 10 * major + minor, 0 on a CPU.
int capability_of(const AttentionProblem& problem) {
  return problem.device.is_cuda() ? cuda_kernels().device_capability(problem.device.index()) : 0;
}

std::string describe(const AttentionProblem& problem) {
  return detail::concat("head size ", problem.head_dim, " in ", c10::toString(problem.dtype), " on ",
                        problem.device.str());
}

}  // namespace

AttentionBackend attention_backend_from_name(std::string_view name, std::string_view subject) {
  for (const auto& [backend, known] : kNames)
    if (name == known) return backend;
  HICI_CHECK_USAGE(false, subject, ": unknown backend '", name, "'; use auto, cudnn, flash or math");
  return AttentionBackend::kAuto;
}

std::string_view attention_backend_name(AttentionBackend backend) {
  return kNames[static_cast<size_t>(backend)].second;
}

std::string why_not(AttentionBackend backend, const AttentionProblem& problem) {
  const bool fits_gpu_kernels = is_16_bit(problem.dtype) && problem.head_dim % 8 == 0;
  const char* other = problem.device.is_cuda() ? "math" : "flash or math";
  if (backend == AttentionBackend::kFlash && problem.device.is_cuda()) {
    if (fits_gpu_kernels && problem.head_dim <= 256 && capability_of(problem) >= 80) return {};
    return detail::concat("flash takes head sizes up to 256 in steps of 8, bfloat16, and a GPU of sm_80 or newer, not ",
                          describe(problem), "; use ", other);
  }
  if (backend == AttentionBackend::kCudnn) {
    if (fits_gpu_kernels && problem.head_dim <= 128 && problem.device.is_cuda() && capability_of(problem) >= 90 &&
        cuda_kernels().cudnn_attention_forward != nullptr)
      return {};
    return detail::concat("cudnn takes head sizes up to 128 in steps of 8, bfloat16, and a GPU of sm_90 or newer, not ",
                          describe(problem), "; use ", other);
  }
  return {};
}

AttentionBackend fastest_backend(const AttentionProblem& problem) {
  for (const AttentionBackend backend : {AttentionBackend::kCudnn, AttentionBackend::kFlash})
    if (why_not(backend, problem).empty()) return backend;
  return AttentionBackend::kMath;
}

at::Tensor segment_attention(const at::Tensor& q_GSHD, const at::Tensor& k_GKJD, const at::Tensor& v_GKJD,
                             AttentionBackend backend) {
  HICI_ASSERT(k_GKJD.size(1) >= q_GSHD.size(1) && q_GSHD.size(2) % k_GKJD.size(2) == 0, "q ", q_GSHD.sizes(), " k ",
              k_GKJD.sizes());
  const AttentionProblem problem{q_GSHD.device(), q_GSHD.scalar_type(), q_GSHD.size(3)};
  if (backend == AttentionBackend::kAuto) backend = fastest_backend(problem);
  return SegmentAttention::apply(q_GSHD, k_GKJD, v_GKJD, static_cast<int64_t>(backend));
}

}  // namespace hici::ops
