// SPDX-License-Identifier: Apache-2.0
// Causal attention of segments of tokens over [prefix, own tokens]: a query at place i of its segment sees every slot
// of the prefix and the tokens 0..i. Reference: attend() inside hici_attention().
#pragma once

#include <ATen/core/Tensor.h>

namespace hici::ops {

// G segments (batch times segments), S tokens, P prefix slots (0 is plain causal attention), H query heads over J
// key/value heads. q [G, S, H, D], k and v [G, P + S, J, D] -> [G, S, H, D]. Right padding needs no mask here: a valid
// query never sees a later key. Softmax scale 1/sqrt(D).
at::Tensor segment_attention(const at::Tensor& q_GSHD, const at::Tensor& k_GKJD, const at::Tensor& v_GKJD);

}  // namespace hici::ops
