// SPDX-License-Identifier: Apache-2.0
#include "hici/ops/segment_attention.h"

#include "hici/base/error.h"
#include "hici/device/kernel_table.h"
#include "hici/ops/optional_tensor.h"
#include "hici/ops/prefix_attention.h"
#include "hici/ops/segment_attention_limits.h"
#include "hici/ops/segment_padding.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>

namespace hici::ops {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// Slots concatenated before the tokens' keys and values, or as a separate prefix.
struct Inputs {
  at::Tensor q_GSHD, k_GKJD, v_GKJD;
  at::Tensor slot_k_GPJD = {}, slot_v_GPJD = {};

  int64_t queries() const { return q_GSHD.size(1); }
  int64_t prefix() const { return k_GKJD.size(1) - queries(); }  // of concatenated slots
  int64_t group() const { return q_GSHD.size(2) / k_GKJD.size(2); }
  double scale() const { return 1.0 / std::sqrt(static_cast<double>(q_GSHD.size(3))); }
};

// lse: log of the sum of exponentials over all keys of a query, [G, H, S] in float32 (float64 for float64); cuDNN's own
// is [G, H, P + S].
struct Result {
  at::Tensor out_GSHD, lse_GHS;
  // Further tensors for the backward: the result of merge_prefix() on a CPU, the RNG state of LibTorch's FlashAttention
  // on a GPU; else undefined.
  at::Tensor extra_a, extra_b;
};

struct Gradients {
  at::Tensor q_GSHD, k_GKJD, v_GKJD;
  at::Tensor slot_k_GPJD = {}, slot_v_GPJD = {};
};

// [G, K, heads, D] -> [G, heads, K, D], each key/value head once for every query head that reads it.
at::Tensor heads_first(const at::Tensor& t_GKJD, int64_t group) {
  const at::Tensor t = t_GKJD.transpose(1, 2);
  return group == 1 ? t : t.repeat_interleave(group, 1);
}

// The way back: sums over the query heads of a group.
at::Tensor heads_last(const at::Tensor& t_GHKD, int64_t group) {
  if (group == 1) return t_GHKD.transpose(1, 2);
  return t_GHKD.unflatten(1, {t_GHKD.size(1) / group, group}).sum(2).transpose(1, 2);
}

// ---------------------------------------------------------------------------------------------- plain mathematics
// Scores and weights are held whole in the accumulation type, keys first ([G, H, K, S]): sums over keys then run along
// memory.

struct HeadsFirst {
  at::Tensor q_GHSD, k_GHKD, v_GHKD;

  explicit HeadsFirst(const Inputs& in)
      : q_GHSD(in.q_GSHD.transpose(1, 2).contiguous()),  // once, or every product would
        k_GHKD(heads_first(in.k_GKJD, in.group()).contiguous()),
        v_GHKD(heads_first(in.v_GKJD, in.group()).contiguous()) {}
};

at::Tensor causal_scores(const Inputs& in, const HeadsFirst& t) {
  const at::Tensor product = at::matmul(t.k_GHKD * in.scale(), t.q_GHSD.transpose(-1, -2));
  const at::Tensor score = product.to(accumulation_type(in.q_GSHD.scalar_type()));
  const at::Tensor visible = at::ones({score.size(2), score.size(3)}, score.options().dtype(at::kBool));
  return score.masked_fill_(visible.tril(-in.prefix() - 1), -std::numeric_limits<double>::infinity());
}

Result math_forward(const Inputs& in) {
  const HeadsFirst t(in);
  const at::Tensor score = causal_scores(in, t), lse = at::logsumexp(score, {2});
  const at::Tensor weight = (score - lse.unsqueeze(2)).exp_().to(in.q_GSHD.scalar_type());
  return {at::matmul(weight.transpose(-1, -2), t.v_GHKD).transpose(1, 2), lse, {}, {}};
}

Gradients math_backward(const Inputs& in, const Result& result, const at::Tensor& dout_GSHD) {
  const HeadsFirst t(in);
  const auto model_dtype = in.q_GSHD.scalar_type(), accumulation_dtype = accumulation_type(model_dtype);
  const at::Tensor weight = causal_scores(in, t).sub_(result.lse_GHS.unsqueeze(2)).exp_();
  const at::Tensor dout = dout_GSHD.transpose(1, 2).contiguous();
  const at::Tensor delta_GHS =
      (dout_GSHD.to(accumulation_dtype) * result.out_GSHD.to(accumulation_dtype)).sum(-1).transpose(1, 2);
  const at::Tensor dweight = at::matmul(t.v_GHKD, dout.transpose(-1, -2)).to(accumulation_dtype);
  const at::Tensor dscore = dweight.sub_(delta_GHS.unsqueeze(2)).mul_(weight).to(model_dtype);
  return {at::matmul(dscore.transpose(-1, -2), t.k_GHKD * in.scale()).transpose(1, 2),
          heads_last(at::matmul(dscore, t.q_GHSD).mul_(in.scale()), in.group()),
          heads_last(at::matmul(weight.to(model_dtype), dout), in.group())};
}

// ------------------------------------------------------------------------------------ FlashAttention on the CPU
// LibTorch's kernel aligns its causal mask to the top left, which fits a segment's own tokens. Every query attends to
// the few keys of the prefix, which is separate: the two partial results are merged by log-sum-exp (LSE). In the
// backward each part needs only the merged LSE and output of the other, so the kernel's own backward is exact when
// given those.

Result cpu_flash_forward(const Inputs& in) {
  auto [out_GHSD, lse] = at::_scaled_dot_product_flash_attention_for_cpu(
      in.q_GSHD.transpose(1, 2), heads_first(in.k_GKJD, in.group()), heads_first(in.v_GKJD, in.group()), 0.0,
      /*is_causal=*/true);
  Result result{out_GHSD.transpose(1, 2).contiguous(), lse, {}, {}};  // it is contiguous, in LibTorch 2.11
  if (in.slot_k_GPJD.defined()) {
    const PrefixInputs prefix{in.q_GSHD, in.slot_k_GPJD, in.slot_v_GPJD, in.scale()};
    result.extra_a = merge_prefix(prefix, result.out_GSHD, result.lse_GHS);
  }
  return result;
}

Gradients cpu_flash_backward(const Inputs& in, const Result& result, const at::Tensor& dout_GSHD) {
  auto [dq, dk, dv] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
      dout_GSHD.transpose(1, 2), in.q_GSHD.transpose(1, 2), heads_first(in.k_GKJD, in.group()),
      heads_first(in.v_GKJD, in.group()), result.out_GSHD.transpose(1, 2), result.lse_GHS, 0.0, /*is_causal=*/true);
  Gradients out{dq.transpose(1, 2).contiguous(), heads_last(dk, in.group()), heads_last(dv, in.group())};
  if (in.slot_k_GPJD.defined()) {
    const PrefixInputs prefix{in.q_GSHD, in.slot_k_GPJD, in.slot_v_GPJD, in.scale()};
    const PrefixGradients slots = prefix_backward(prefix, result.extra_a, result.out_GSHD, dout_GSHD, out.q_GSHD);
    out.slot_k_GPJD = slots.k_GPJD;
    out.slot_v_GPJD = slots.v_GPJD;
  }
  return out;
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
  Result result;
  device::cuda_kernels().cudnn_attention_forward(in.q_GSHD, in.k_GKJD, in.v_GKJD, in.scale(), result.out_GSHD,
                                                 result.lse_GHS);
  return result;
}

Gradients cudnn_backward(const Inputs& in, const Result& result, const at::Tensor& dout_GSHD) {
  Gradients out{{}, at::empty_like(in.k_GKJD), at::empty_like(in.v_GKJD)};
  device::cuda_kernels().cudnn_attention_backward(dout_GSHD, in.q_GSHD, in.k_GKJD, in.v_GKJD, result.out_GSHD,
                                                  result.lse_GHS, in.scale(), out.q_GSHD, out.k_GKJD, out.v_GKJD);
  return out;
}

Result hopper_forward(const Inputs& in) {
  Result result{at::empty(in.q_GSHD.sizes(), in.q_GSHD.options()), {}, {}, {}};
  device::cuda_kernels().hopper_attention_forward(in.q_GSHD, in.k_GKJD, in.v_GKJD, in.scale(), result.out_GSHD,
                                                  result.lse_GHS);
  return result;
}

Gradients hopper_backward(const Inputs& in, const Result& result, const at::Tensor& dout_GSHD) {
  Gradients out{at::empty(in.q_GSHD.sizes(), in.q_GSHD.options()), at::empty_like(in.k_GKJD),
                at::empty_like(in.v_GKJD)};
  device::cuda_kernels().hopper_attention_backward(dout_GSHD, in.q_GSHD, in.k_GKJD, in.v_GKJD, result.out_GSHD,
                                                   result.lse_GHS, in.scale(), out.q_GSHD, out.k_GKJD, out.v_GKJD);
  return out;
}

Result run_forward(AttentionBackend backend, const Inputs& in) {
  if (backend == AttentionBackend::kHopper) return hopper_forward(in);
  if (backend == AttentionBackend::kCudnn) return cudnn_forward(in);
  if (backend == AttentionBackend::kMath) return math_forward(in);
  return in.q_GSHD.is_cuda() ? gpu_flash_forward(in) : cpu_flash_forward(in);
}

Gradients run_backward(AttentionBackend backend, const Inputs& in, const Result& result, const at::Tensor& dout) {
  if (backend == AttentionBackend::kHopper) return hopper_backward(in, result, dout);
  if (backend == AttentionBackend::kCudnn) return cudnn_backward(in, result, dout);
  if (backend == AttentionBackend::kMath) return math_backward(in, result, dout);
  return in.q_GSHD.is_cuda() ? gpu_flash_backward(in, result, dout) : cpu_flash_backward(in, result, dout);
}

class SegmentAttention : public torch::autograd::Function<SegmentAttention> {
 public:
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const std::optional<at::Tensor>& slot_k, const std::optional<at::Tensor>& slot_v,
                            int64_t backend) {
    const Inputs in{for_backend(q, backend), k.contiguous(), v.contiguous(), slot_k.value_or(at::Tensor()),
                    slot_v.value_or(at::Tensor())};
    const Result result = run_forward(static_cast<AttentionBackend>(backend), in);
    ctx->saved_data["backend"] = backend;
    ctx->save_for_backward({in.q_GSHD, in.k_GKJD, in.v_GKJD, in.slot_k_GPJD, in.slot_v_GPJD, result.out_GSHD,
                            result.lse_GHS, result.extra_a, result.extra_b});
    return result.out_GSHD;
  }

  static variable_list backward(AutogradContext* ctx, const variable_list& grads) {
    const variable_list saved = ctx->get_saved_variables();
    const Gradients out =
        run_backward(static_cast<AttentionBackend>(ctx->saved_data["backend"].toInt()),
                     {saved[0], saved[1], saved[2], saved[3], saved[4]}, {saved[5], saved[6], saved[7], saved[8]},
                     for_backend(grads[0], ctx->saved_data["backend"].toInt()));
    return {out.q_GSHD, out.k_GKJD, out.v_GKJD, out.slot_k_GPJD, out.slot_v_GPJD, at::Tensor()};
  }

 private:
  static at::Tensor for_backend(const at::Tensor& t, int64_t number) {
    const auto backend = static_cast<AttentionBackend>(number);
    const bool reads_row_gaps = backend == AttentionBackend::kHopper || backend == AttentionBackend::kCudnn;
    if (!reads_row_gaps) return t.contiguous();
    const auto segments = as_padded_segments(t);  // expanded segments lie on one another
    return segments && segments->row_gap >= 0 ? t : t.contiguous();
  }
};

// The same inputs, with slots concatenated or separate as the backend reads them.
Inputs for_prefix_of(AttentionBackend backend, const Inputs& in) {
  const bool wants_separate = has_separate_prefix(backend, in.q_GSHD.device()), is_separate = in.slot_k_GPJD.defined();
  if (is_separate && !wants_separate)
    return {in.q_GSHD, at::cat({in.slot_k_GPJD, in.k_GKJD}, 1), at::cat({in.slot_v_GPJD, in.v_GKJD}, 1)};
  if (is_separate || !wants_separate || in.prefix() == 0) return in;
  const int64_t prefix = in.prefix(), length = in.queries();
  return {in.q_GSHD, in.k_GKJD.narrow(1, prefix, length), in.v_GKJD.narrow(1, prefix, length),
          in.k_GKJD.narrow(1, 0, prefix), in.v_GKJD.narrow(1, 0, prefix)};
}

bool fits_gpu_kernels(at::ScalarType type, int64_t head_dim) {
  return (type == at::kBFloat16 || type == at::kHalf) && head_dim % 8 == 0;
}

// Compute capability as 10 * major + minor, 0 on a CPU.
int capability_of(const AttentionProblem& problem) {
  return problem.device.is_cuda() ? device::cuda_kernels().device_capability(problem.device.index()) : 0;
}

std::string describe(const AttentionProblem& problem) {
  return detail::concat("head size ", problem.head_dim, " in ", dtype_name(problem.dtype), " on ",
                        problem.device.str());
}

}  // namespace

bool fits_flash_on_gpu(at::ScalarType dtype, int64_t head_dim) {
  return fits_gpu_kernels(dtype, head_dim) && head_dim <= 256;
}

std::string why_not(AttentionBackend backend, const AttentionProblem& problem) {
  const char* other = problem.device.is_cuda() ? "math" : "flash or math";
  if (backend == AttentionBackend::kHopper) {
    const bool fits = fits_gpu_kernels(problem.dtype, problem.head_dim) && problem.device.is_cuda() &&
                      (problem.head_dim == 64 || problem.head_dim == 128) && capability_of(problem) == 90 &&
                      device::cuda_kernels().hopper_attention_forward != nullptr;
    if (fits && problem.slots <= kMaxHopperSlots) return {};
    if (fits) {
      return detail::concat("hopper takes up to ", kMaxHopperSlots, " slots in a segment, not ", problem.slots,
                            "; use auto");
    }
    return detail::concat(
        "hopper takes head sizes 64 and 128, bfloat16, a GPU of sm_90 and a plug-in built for it, not ",
        describe(problem), "; use ", other);
  }
  if (backend == AttentionBackend::kFlash && problem.device.is_cuda()) {
    if (fits_flash_on_gpu(problem.dtype, problem.head_dim) && capability_of(problem) >= 80) return {};
    return detail::concat("flash takes head sizes up to 256 in steps of 8, bfloat16, and a GPU of sm_80 or newer, not ",
                          describe(problem), "; use ", other);
  }
  if (backend == AttentionBackend::kCudnn) {
    if (fits_gpu_kernels(problem.dtype, problem.head_dim) && problem.head_dim <= 128 && problem.device.is_cuda() &&
        capability_of(problem) >= 90 && device::cuda_kernels().cudnn_attention_forward != nullptr)
      return {};
    return detail::concat("cudnn takes head sizes up to 128 in steps of 8, bfloat16, and a GPU of sm_90 or newer, not ",
                          describe(problem), "; use ", other);
  }
  return {};
}

AttentionBackend fastest_backend(const AttentionProblem& problem) {
  for (const AttentionBackend backend : {AttentionBackend::kHopper, AttentionBackend::kCudnn, AttentionBackend::kFlash})
    if (why_not(backend, problem).empty()) return backend;
  return AttentionBackend::kMath;
}

bool has_separate_prefix(AttentionBackend backend, at::Device device) {
  return device.is_cpu() && (backend == AttentionBackend::kFlash || backend == AttentionBackend::kAuto);
}

at::Tensor segment_attention(const AttentionHeads& heads, AttentionBackend backend) {
  const Inputs given{heads.q_GSHD, heads.k_GKJD, heads.v_GKJD, heads.slot_k_GPJD, heads.slot_v_GPJD};
  HICI_ASSERT(given.prefix() >= 0 && given.q_GSHD.size(2) % given.k_GKJD.size(2) == 0 &&
                  (given.prefix() == 0 || !given.slot_k_GPJD.defined()),
              "q ", given.q_GSHD.sizes(), " k ", given.k_GKJD.sizes());
  const int64_t slots = given.slot_k_GPJD.defined() ? given.slot_k_GPJD.size(1) : given.prefix();
  const AttentionProblem problem{given.q_GSHD.device(), given.q_GSHD.scalar_type(), given.q_GSHD.size(3), slots};
  if (backend == AttentionBackend::kAuto) backend = fastest_backend(problem);
  HICI_ASSERT(why_not(backend, problem).empty(), why_not(backend, problem));
  const Inputs in = for_prefix_of(backend, given);
  return SegmentAttention::apply(in.q_GSHD, in.k_GKJD, in.v_GKJD, optional_tensor(in.slot_k_GPJD),
                                 optional_tensor(in.slot_v_GPJD), static_cast<int64_t>(backend));
}

at::Tensor segment_attention(const at::Tensor& q_GSHD, const at::Tensor& k_GKJD, const at::Tensor& v_GKJD,
                             AttentionBackend backend) {
  return segment_attention(AttentionHeads{q_GSHD, k_GKJD, v_GKJD}, backend);
}

}  // namespace hici::ops
