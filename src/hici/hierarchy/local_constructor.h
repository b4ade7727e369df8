// SPDX-License-Identifier: Apache-2.0
// Stage 1, local construction: M learned slots read one segment by multi-head cross-attention in a bottleneck.
// Paper section 3.1; local_construction() of the reference.
// G segments (batch times N), S tokens per segment, M local slots, C hidden, E bottleneck width, h heads, e = E / h
#pragma once

#include "hici/config/hici_config.h"
#include "hici/nn/linear.h"

namespace hici::hierarchy {

struct LocalConstructor {
  at::Tensor memory_slots;                    // [M, C]
  nn::Linear q_proj, k_proj, v_proj, o_proj;  // [E, C] each; o_proj [C, E], absent without bottleneck (E = C)
  int64_t num_heads = 0;

  LocalConstructor() = default;
  LocalConstructor(const config::HiciConfig& config, int64_t hidden_size, const nn::ParameterOptions& options);

  // x_GSC and valid_GS (bool, or undefined) -> slots [G, M, C]. A segment that is all padding averages its padding.
  //
  // Keys and values of the tokens are never made: the slots' queries go through W_k once, score the tokens' hidden
  // states directly, and W_v is applied to the M * h weighted means. Associativity makes it exact; adapters are part of
  // W. Work and memory per token fall from E to M * h columns. With dropout adapters are not part of W: with any on q,
  // k or v, all three are made as the paper has them, the queries in every segment.
  at::Tensor forward(const at::Tensor& x_GSC, const at::Tensor& valid_GS, const nn::TensorList& prepared) const;
  // The slots' queries times W_k [h * M, C], and W_v by head [h, e, C]. Both depend on weights only.
  nn::TensorList prepare() const;
  void visit_parameters(const std::string& prefix, const nn::ParameterVisitor& visit);
  nn::NamedLinears linears();  // LoRA may adapt them

 private:
  bool drops_of_weights() const;  // of adapters that are else part of a weight
  at::Tensor read_with_dropout(const at::Tensor& x_GSC, const at::Tensor& valid_GS) const;
  at::Tensor read(const at::Tensor& x_GSC, const at::Tensor& valid_GS, const nn::TensorList& prepared) const;
};

}  // namespace hici::hierarchy
