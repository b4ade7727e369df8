// SPDX-License-Identifier: Apache-2.0
// What an adapter makes of a weight of the base: the sum with its factors, the magnitudes of DoRA, single rows. The
// formulas of PEFT, in one place for merging and for kinds that no layer computes on its way (DoRA, factors of
// embedding and head, rows of tokens), whose weights are folded while they are read.
#pragma once

#include "hici/config/lora_config.h"
#include "hici/io/tensor_source.h"

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace hici::io {

struct Fold {
  std::string module;                      // "model.layers.0.self_attn.q_proj"; its weight is MODULE.weight
  std::optional<config::LoraModule> lora;  // factors of `module`; nothing: rows alone
  bool is_embedding = false;               // factors as lora_embedding_A [rank, V] and lora_embedding_B [C, rank]
  bool has_magnitude = false;              // DoRA
  std::vector<int64_t> rows = {};          // places of the rows; empty: none

  // Names in the adapter of what is folded.
  std::vector<std::string> tensors() const;
};

// `weight`, [out, in] or [V, C] in float32 or float64, with the fold; may change `weight`. Linear layers:
// W + scale B A, and with magnitudes m / |W + scale B A| of each row times that. The embedding: W + scale (B A)^T, and
// magnitudes of each column. Rows replace those of the weight.
at::Tensor folded(at::Tensor weight, const Fold& fold, const TensorSource& adapter);

// The weights of the folds. They have the type float32, or float64 where the weight has it, so that a reader sees the
// sum before it is rounded. `weights` and `adapter` are what is read, and live as long as this.
class FoldedSource final : public TensorSource {
 public:
  // Pairs of a fold and the source of its weight.
  FoldedSource(std::vector<std::pair<Fold, const TensorSource*>> folds, std::shared_ptr<const TensorSource> adapter);

  using TensorSource::read;
  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  at::Tensor read(const std::string& name, at::ScalarType dtype, at::Device device = at::kCPU) const override;
  std::string file_of(const std::string& name) const override;
  // The fold of a weight that is here.
  const Fold& fold_of(const std::string& name) const { return folds_.at(name).first; }

 private:
  std::map<std::string, std::pair<Fold, const TensorSource*>> folds_;
  std::map<std::string, TensorInfo> tensors_;
  std::shared_ptr<const TensorSource> adapter_;
};

}  // namespace hici::io
