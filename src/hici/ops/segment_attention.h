// SPDX-License-Identifier: Apache-2.0
// Causal attention of segments of tokens over [prefix, own tokens]: a query at place i of its segment sees every slot
// of the prefix and the tokens 0..i. Reference: attend() inside hici_attention().
#pragma once

#include "hici/ops/attention_heads.h"

#include <ATen/core/Tensor.h>

#include <string>
#include <string_view>

namespace hici::ops {

// Who computes it. All give the same result but for rounding.
enum class AttentionBackend {
  kAuto,   // the fastest one that the tensors allow
  kCudnn,  // cuDNN's fused attention, bottom-right causal mask; Hopper and newer, 16-bit types
  kFlash,  // LibTorch's FlashAttention: 16-bit types on a GPU, every type on a CPU
  kMath,   // plain products and softmax, scores held whole; every type and device
};

// "auto", "cudnn", "flash", "math"; an unknown name is a usage error that lists them. `subject` is the option's name.
AttentionBackend attention_backend_from_name(std::string_view name, std::string_view subject);
std::string_view attention_backend_name(AttentionBackend backend);

// What a call will look like, to ask before the first step whether a backend can do it.
struct AttentionProblem {
  at::Device device = at::kCPU;
  at::ScalarType dtype = at::kFloat;
  int64_t head_dim = 0;
};

// Why `backend` cannot do it, in words that name what can; empty when it can. kAuto always can.
std::string why_not(AttentionBackend backend, const AttentionProblem& problem);

// The backend that kAuto means for this problem.
AttentionBackend fastest_backend(const AttentionProblem& problem);

// True where the slots' keys and values are read beside those of the tokens (AttentionHeads::slot_k_GPJD), not in
// front: LibTorch's FlashAttention on a CPU. Given the other way, they are put where the backend reads them.
bool reads_slots_beside(AttentionBackend backend, at::Device device);

// G segments (batch times segments), S tokens, P prefix slots (0 is plain causal attention), H query heads over J
// key/value heads. q [G, S, H, D], k and v [G, P + S, J, D] -> [G, S, H, D]. Right padding needs no mask here: a valid
// query never sees a later key. Softmax scale 1/sqrt(D). Keeps q, k, v, the output and one number a query and head for
// its hand-written backward. With kCudnn the segments of the output are P rows apart (front_rows.h); it and its
// backward copy neither q nor the output's gradient where those have P rows in front.
at::Tensor segment_attention(const AttentionHeads& heads, AttentionBackend backend = AttentionBackend::kAuto);
// Without slots, or with slots in front.
at::Tensor segment_attention(const at::Tensor& q_GSHD, const at::Tensor& k_GKJD, const at::Tensor& v_GKJD,
                             AttentionBackend backend = AttentionBackend::kAuto);

}  // namespace hici::ops
