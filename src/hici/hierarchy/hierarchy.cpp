// SPDX-License-Identifier: Apache-2.0
#include "hici/hierarchy/hierarchy.h"

#include "hici/base/error.h"
#include "hici/hierarchy/initialise.h"
#include "hici/hierarchy/slot_state.h"
#include "hici/nn/dropout.h"
#include "hici/ops/slot_statistics.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace hici::hierarchy {
namespace {

using config::CausalMode;

// Segment i gets what segment i - 1 had; the first row is never looked at.
at::Tensor shift_by_one_segment(const at::Tensor& t_BNXC) {
  return at::cat({at::zeros_like(t_BNXC.narrow(1, 0, 1)), t_BNXC.narrow(1, 0, t_BNXC.size(1) - 1)}, 1);
}

}  // namespace

Hierarchy::Hierarchy(const config::HiciConfig& config, int64_t hidden_size, const nn::ParameterOptions& options)
    : config_(config), local_(config, hidden_size, options) {
  if (config.use_global_integrator) integrator_.emplace(config, hidden_size, options);
}

nn::PrefixSlots Hierarchy::make_slots(const at::Tensor& x_BTC, const at::Tensor& valid_BT, int64_t segment_length,
                                      const nn::TensorList& prepared, const parallel::SegmentShare& share) {
  const int64_t batch = x_BTC.size(0), segments = x_BTC.size(1) / segment_length, hidden = x_BTC.size(2);
  const at::Tensor x_GSC = x_BTC.reshape({batch * segments, segment_length, hidden});
  const at::Tensor valid_GS = valid_BT.defined() ? valid_BT.reshape({batch * segments, segment_length}) : at::Tensor();
  // From here on the slots of the whole sequence, in each of the processes that share it.
  const at::Tensor local_BNMC =
      parallel::gather_segments(local_.forward(x_GSC, valid_GS, prepared).view({batch, segments, -1, hidden}), share);

  std::vector<at::Tensor> slots;
  if (integrator_) slots.push_back(global_slots(local_BNMC, prepared));
  if (config_.shows_local_slots()) slots.push_back(local_BNMC);
  const bool first_has_prefix = !config_.is_shifted() || share.first_segment(segments) > 0;
  nn::PrefixSlots prefix{{}, first_has_prefix, integrator_ ? slots.front().size(2) : 0};
  if (slots.empty()) return prefix;
  prefix.slots_BNPC = at::cat(slots, 2);
  if (config_.is_shifted()) prefix.slots_BNPC = shift_by_one_segment(prefix.slots_BNPC);
  prefix.slots_BNPC = parallel::own_segments(prefix.slots_BNPC, share, segments);
  return prefix;
}

nn::TensorList Hierarchy::prepare() const {
  nn::TensorList prepared = local_.prepare();
  if (!integrator_) return prepared;
  const GlobalIntegrator::Prepared of_integrator = integrator_->prepare();
  prepared.insert(prepared.end(), {of_integrator.q_hUw, of_integrator.gate});
  return prepared;
}

at::Tensor Hierarchy::integrate(const at::Tensor& statistics_R5C, const nn::TensorList& prepared) const {
  return integrator_->forward(statistics_R5C, {prepared[prepared.size() - 2], prepared.back()});
}

at::Tensor Hierarchy::global_slots(const at::Tensor& local_BNMC, const nn::TensorList& prepared) const {
  const int64_t batch = local_BNMC.size(0), segments = local_BNMC.size(1), hidden = local_BNMC.size(3);
  // All segments are here, whichever of them this process has.
  const nn::DropoutScope of_statistics(nn::DropoutScope::for_units(0, segments));
  if (config_.causal_mode == CausalMode::kNone) {
    const at::Tensor global_BUC = integrate(ops::statistics_of_all(local_BNMC), prepared);
    // In memory: joining views of one row costs a slow kernel.
    return global_BUC.unsqueeze(1).expand({-1, segments, -1, -1}).contiguous();
  }
  return integrate(ops::statistics_up_to_each(local_BNMC).flatten(0, 1), prepared).view({batch, segments, -1, hidden});
}

nn::LayerState Hierarchy::empty_state(int64_t batch) const {
  const at::Tensor& slots = local_.memory_slots;
  return to_list(empty_slot_state(config_, batch, slots.size(1), slots.options()));
}

// A segment sees the state after itself, and in the shifted modes that before itself. What crosses is what each segment
// adds to the sums, and in causal_shift its slots.
Hierarchy::StatesAround Hierarchy::states_around(const at::Tensor& local_BMC, const SlotState& before,
                                                 const parallel::SegmentShare& share) const {
  const bool shifted = config_.is_shifted();
  if (share.is_whole()) {
    const SlotState after = add_slots(before, local_BMC);
    return {shifted ? before : after, after, {}};
  }
  const int64_t own = share.group->rank(), count = share.group->size();
  const parallel::SegmentShare round{share.group, count};
  StatesAround states;
  if (before.sums_B4C.defined()) {
    const at::Tensor sums_Bn4C = parallel::gather_segments(ops::sums_of_slots(local_BMC).unsqueeze(1), round);
    const ops::RunningSums running = ops::running_sums(before.sums_B4C, sums_Bn4C, shifted ? own : own + 1);
    states.seen.sums_B4C = running.at_row_B4C;
    states.after_all.sums_B4C = running.last_B4C;
    states.gathered.push_back(sums_Bn4C);
  }
  if (before.previous_BMC.defined()) {
    const at::Tensor slots_BnMC = parallel::gather_segments(local_BMC.unsqueeze(1), round);
    states.seen.previous_BMC = own == 0 ? before.previous_BMC : slots_BnMC.select(1, own - 1);
    states.after_all.previous_BMC = slots_BnMC.select(1, count - 1);
    states.gathered.push_back(slots_BnMC);
  }
  return states;
}

nn::SegmentSlots Hierarchy::make_segment_slots(const at::Tensor& x_BSC, const at::Tensor& valid_BS, int64_t segment,
                                               const nn::LayerState& before_list, const nn::TensorList& prepared,
                                               const parallel::SegmentShare& share) {
  HICI_ASSERT(config_.is_streamable(), "mode none looks ahead");
  const at::Tensor local_BMC = local_.forward(x_BSC, valid_BS, prepared);
  const StatesAround states = states_around(local_BMC, from_list(config_, before_list), share);
  const bool shifted = config_.is_shifted();
  nn::SegmentSlots made{{{}, !shifted}, to_list(states.after_all), {}};
  // In the shifted modes the first of the processes reads no slots of this round, its own included.
  if (shifted) made.unread = states.gathered;
  if (shifted && segment == 0) return made;

  std::vector<at::Tensor> slots;
  const int64_t segments_seen = shifted ? segment : segment + 1;
  if (integrator_) {
    const nn::DropoutScope last_seen(nn::DropoutScope::for_units(segments_seen - 1, 1));
    slots.push_back(integrate(statistics_of_state(states.seen, segments_seen * local_BMC.size(1)), prepared));
    made.prefix.num_global = slots.back().size(1);
  }
  if (config_.shows_local_slots()) slots.push_back(shifted ? states.seen.previous_BMC : local_BMC);
  made.prefix.slots_BNPC = at::cat(slots, 1).unsqueeze(1);
  return made;
}

int64_t Hierarchy::num_slots() const { return config_.slots_per_segment(); }

int64_t Hierarchy::num_slots_of_first_segment() const { return config_.is_shifted() ? 0 : num_slots(); }

void Hierarchy::visit_parameters(const std::string& prefix, const nn::ParameterVisitor& visit) {
  local_.visit_parameters(prefix + ".local_constructor", visit);
  if (integrator_) integrator_->visit_parameters(prefix + ".global_integrator", visit);
}

void Hierarchy::add_lora(const std::string& prefix, const config::LoraConfig& lora) {
  nn::adapt_linears(local_.linears(), prefix + ".local_constructor", lora);
  if (integrator_) nn::adapt_linears(integrator_->linears(), prefix + ".global_integrator", lora);
}

void Hierarchy::initialise(const at::Tensor& embedding, at::Generator& generator) {
  hierarchy::initialise(local_, generator);
  if (integrator_) hierarchy::initialise(*integrator_, embedding, generator);
}

void Hierarchy::copy_attention_projections(const nn::Attention& attention) {
  auto copy = [](const char* name, const nn::Linear& from, const nn::Linear& to) {
    HICI_CHECK_USAGE(from.weight.sizes() == to.weight.sizes(), "--use_llama_init: ", name, " of the attention is ",
                     from.weight.sizes(), ", of the local constructor ", to.weight.sizes(),
                     "; it needs equal shapes: --use_bottleneck False and as many key/value heads as query heads");
    to.weight.copy_(from.weight);
  };
  const at::NoGradGuard no_grad;
  copy("q_proj", attention.projections.q_proj, local_.q_proj);
  copy("k_proj", attention.projections.k_proj, local_.k_proj);
  copy("v_proj", attention.projections.v_proj, local_.v_proj);
}

void attach_hierarchy(nn::CausalLm& model, const config::HiciConfig& config, const nn::ParameterOptions& options) {
  if (!config.use_local_constructor) return;
  for (nn::DecoderLayer& layer : model.layers()) {
    layer.attention.hierarchy = std::make_unique<Hierarchy>(config, model.config().hidden_size, options);
  }
}

void initialise_hierarchy(nn::CausalLm& model, at::Generator& generator, bool copy_attention_projections) {
  for (size_t i = 0; i < model.layers().size(); ++i) {
    nn::DecoderLayer& layer = model.layers()[i];
    auto* hierarchy = dynamic_cast<Hierarchy*>(layer.attention.hierarchy.get());
    HICI_ASSERT(hierarchy != nullptr, "a layer without hierarchy");
    hierarchy->initialise(model.embed_tokens(), generator);
    if (!copy_attention_projections) continue;
    model.use_weights(i);
    hierarchy->copy_attention_projections(layer.attention);
  }
}

}  // namespace hici::hierarchy
