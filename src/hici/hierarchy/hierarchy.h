// SPDX-License-Identifier: Apache-2.0
// The hierarchy of one layer: local construction, global integration, and which slots each segment attends to (the
// causal modes). nn::Attention broadcasts the slots down to the tokens. Paper section 3; hici_attention() of the
// reference.
#pragma once

#include "hici/hierarchy/global_integrator.h"
#include "hici/hierarchy/local_constructor.h"
#include "hici/hierarchy/slot_state.h"
#include "hici/nn/causal_lm.h"
#include "hici/nn/slot_provider.h"

#include <optional>

namespace hici::hierarchy {

class Hierarchy : public nn::SlotProvider {
 public:
  Hierarchy(const config::HiciConfig& config, int64_t hidden_size, const nn::ParameterOptions& options);

  nn::TensorList prepare() const override;
  // Order of the slots: global, then local.
  nn::PrefixSlots make_slots(const at::Tensor& x_BTC, const at::Tensor& valid_BT, int64_t segment_length,
                             const nn::TensorList& prepared, const parallel::SegmentShare& share) override;
  // Streaming; the state is that of slot_state.h. Mode none is refused by config::HiciConfig::is_streamable().
  nn::LayerState empty_state(int64_t batch) const override;
  nn::SegmentSlots make_segment_slots(const at::Tensor& x_BSC, const at::Tensor& valid_BS, int64_t segment,
                                      const nn::LayerState& before, const nn::TensorList& prepared,
                                      const parallel::SegmentShare& share) override;
  int64_t num_slots() const override;
  int64_t num_slots_of_first_segment() const override;
  void visit_parameters(const std::string& prefix, const nn::ParameterVisitor& visit) override;
  void add_lora(const std::string& prefix, const config::LoraConfig& lora) override;

  // Fresh values by the distributions that training starts from (init_hici() of the reference). The parameters of this
  // layer must be materialised; embedding [V, C] gives the first global queries.
  void initialise(const at::Tensor& embedding, at::Generator& generator);
  // --use_llama_init: q, k, v of the local constructor copied from the layer's own attention. Their shapes must agree.
  void copy_attention_projections(const nn::Attention& attention);

 private:
  // Of a layer: what this process's segment sees, and the state after all segments that the processes take at a time.
  struct StatesAround {
    SlotState seen, after_all;
    nn::TensorList gathered;  // from all processes
  };
  StatesAround states_around(const at::Tensor& local_BMC, const SlotState& before,
                             const parallel::SegmentShare& share) const;
  // [R, 5, C] -> [R, U, C]; `prepared` is that of prepare().
  at::Tensor integrate(const at::Tensor& statistics_R5C, const nn::TensorList& prepared) const;
  at::Tensor global_slots(const at::Tensor& local_BNMC, const nn::TensorList& prepared) const;  // [B, N, U, C]

  config::HiciConfig config_;
  LocalConstructor local_;
  std::optional<GlobalIntegrator> integrator_;
};

// Gives every layer of the model a hierarchy (nothing when config.use_local_constructor is false).
void attach_hierarchy(nn::CausalLm& model, const config::HiciConfig& config, const nn::ParameterOptions& options);

// Fresh values for the hierarchy of every layer; the model's parameters must be materialised and its embedding filled.
void initialise_hierarchy(nn::CausalLm& model, at::Generator& generator, bool copy_attention_projections);

}  // namespace hici::hierarchy
