// SPDX-License-Identifier: Apache-2.0
// Causal attention of segments over [prefix, own tokens]: query i of a segment attends to every slot of the prefix and
// to tokens 0..i of the segment. Reference: attend() inside hici_attention(). G segments (batch times segments), S
// tokens, P prefix slots (0: plain causal attention), K keys, H query heads, J kv heads, D head dim
#pragma once

#include "hici/base/enum_names.h"
#include "hici/ops/attention_heads.h"

#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>

namespace hici::ops {

// The attention kernel. Results differ by rounding only.
enum class AttentionBackend {
  kAuto,    // the fastest one that supports the tensors
  kHopper,  // our own kernels (segment_attention_hopper_cuda.h): GPUs of sm_90, 16-bit types, few slots
  kCudnn,   // cuDNN's fused attention, bottom-right causal mask; Hopper and newer, 16-bit types
  kFlash,   // LibTorch's FlashAttention: 16-bit types on a GPU, every type on a CPU
  kMath,    // plain products and softmax, scores held whole; every type and device
};

constexpr EnumNames<AttentionBackend, 5> names_of(AttentionBackend) {
  return {"backend",
          {{{AttentionBackend::kAuto, "auto"},
            {AttentionBackend::kHopper, "hopper"},
            {AttentionBackend::kCudnn, "cudnn"},
            {AttentionBackend::kFlash, "flash"},
            {AttentionBackend::kMath, "math"}}}};
}

// The properties of a call that decide whether a backend supports it.
struct AttentionProblem {
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;
  int64_t head_dim = 0;
  int64_t slots = 0;  // keys that every query of a segment sees
};

// Why `backend` does not support the problem, with an alternative; empty when it does. kAuto supports every problem.
std::string why_not(AttentionBackend backend, const AttentionProblem& problem);

// The backend that kAuto selects for this problem.
AttentionBackend fastest_backend(const AttentionProblem& problem);

// True for types and head sizes of LibTorch's FlashAttention on a GPU, of sm_80 or newer.
bool fits_flash_on_gpu(at::ScalarType dtype, int64_t head_dim);

// True where the backend reads a separate prefix (AttentionHeads::slot_k_GPJD) instead of one concatenated before the
// tokens: LibTorch's FlashAttention on a CPU. segment_attention() converts from the other form.
bool has_separate_prefix(AttentionBackend backend, at::Device device);

// q [G, S, H, D], k and v [G, P + S, J, D] -> [G, S, H, D]. Softmax scale 1/sqrt(D). Right padding needs no mask: a
// valid query never attends to a later key. Hand-written backward; saves q, k, v, the output and the LSE. kHopper and
// kCudnn read segments of q and of the output's gradient with row gaps. With kCudnn the output has a row gap of P
// (segment_padding.h), and q and the output's gradient are not copied where they have P leading rows.
at::Tensor segment_attention(const AttentionHeads& heads, AttentionBackend backend = AttentionBackend::kAuto);
// Without slots, or with concatenated slots.
at::Tensor segment_attention(const at::Tensor& q_GSHD, const at::Tensor& k_GKJD, const at::Tensor& v_GKJD,
                             AttentionBackend backend = AttentionBackend::kAuto);

}  // namespace hici::ops
