// SPDX-License-Identifier: Apache-2.0
// Stage 2, global integration: compress the five statistics, let U learned queries attend over them, expand, gate.
// Paper section 3.2; integrate() of the reference.
// R rows (batch, or batch times segments), U global slots (the paper's K), C hidden, W integrator width
// (bottleneck_dim)
#pragma once

#include "hici/config/hici_config.h"
#include "hici/nn/linear.h"

#include <vector>

namespace hici::hierarchy {

struct GlobalIntegrator {
  // A linear layer and its layer norm: one link of a compressor.
  struct Compressor {
    nn::Linear linear;
    nn::LayerNorm norm;
    at::Tensor forward(const at::Tensor& x) const { return norm.forward(linear.forward(x)); }
    void visit_parameters(const std::string& prefix, const nn::ParameterVisitor& visit);
  };

  at::Tensor global_queries;                  // [U, W]
  std::vector<Compressor> shared;             // C -> Cs, and Cs -> W unless Cs >= W (then C -> Cs alone, Cs = W)
  std::vector<Compressor> per_statistic;      // five of C -> W; used when `shared` is empty
  nn::Linear q_proj, k_proj, v_proj, o_proj;  // [W, W]
  nn::Linear expand;                          // [C, W]
  at::Tensor expand_scale_param;              // scalar; softplus of it scales the output
  int64_t num_heads = 0;

  GlobalIntegrator() = default;
  GlobalIntegrator(const config::HiciConfig& config, int64_t hidden_size, const nn::ParameterOptions& options);

  // What depends on weights only: the queries by head [h, U, w], scaled, and the gate.
  struct Prepared {
    at::Tensor q_hUw, gate;
  };
  Prepared prepare() const;
  // statistics_R5C in float32 or better -> G [R, U, C] in the type of the parameters.
  at::Tensor forward(const at::Tensor& statistics_R5C, const Prepared& prepared) const;
  // What a compressor makes of plain vectors [K, C] -> [U, W]; the first global queries are made with it.
  at::Tensor compress_vectors(const at::Tensor& x) const;
  void visit_parameters(const std::string& prefix, const nn::ParameterVisitor& visit);
  nn::NamedLinears linears();  // LoRA may adapt them

 private:
  at::Tensor compress(const at::Tensor& statistics_R5C) const;
  // The weights of the statistics, [R, h, U, 5]: with the queries of prepare(), or where their adapter has dropout with
  // queries that are made for every row.
  at::Tensor weights(const at::Tensor& keys_R5hw, const at::Tensor& q_hUw) const;
  at::Tensor weights_with_dropout(const at::Tensor& keys_R5hw) const;
  bool drops_in_queries() const;
};

}  // namespace hici::hierarchy
