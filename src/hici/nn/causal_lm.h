// SPDX-License-Identifier: Apache-2.0
// The decoder: one for Llama and Qwen3, which differ by their config alone.
// Reference: forward() of the reference. B batch, T tokens, C hidden, V vocabulary
#pragma once

#include "hici/config/model_config.h"
#include "hici/nn/activation_policy.h"
#include "hici/nn/attention/attention.h"
#include "hici/nn/dropout.h"
#include "hici/nn/frozen_weights.h"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace hici::nn {

struct Mlp {
  Linear gate_proj, up_proj, down_proj;

  Mlp() = default;
  Mlp(const config::ModelConfig& config, const ParameterOptions& options);
  at::Tensor forward(const at::Tensor& x) const;
  NamedLinears linears();
};

struct DecoderLayer {
  at::Tensor input_norm, post_attention_norm;  // [C]
  double norm_eps = 0;
  Attention attention;
  Mlp mlp;

  DecoderLayer() = default;
  DecoderLayer(const config::ModelConfig& config, const ParameterOptions& options);
  // With `recomputes_mlp` what follows attention keeps its input alone.
  at::Tensor forward(const at::Tensor& x_BTC, const AttentionInputs& inputs, bool recomputes_mlp = false) const;
  at::Tensor forward_cached(const at::Tensor& x_BTC, const CachedInputs& inputs, const LayerCache& cache) const;
  SegmentOutput forward_segment(const at::Tensor& x_BSC, const StreamedInputs& inputs, const LayerState& before,
                                bool recomputes_mlp = false) const;
  void visit_parameters(const std::string& prefix, const ParameterVisitor& visit);
  // Of attention and MLP; those of the hierarchy are always trained.
  NamedLinears linears();
  void quantise_frozen(config::BaseFormat format, bool has_backward = true);

 private:
  // What follows attention: both residual connections and the MLP.
  at::Tensor add_mlp(const at::Tensor& x_BTC, const at::Tensor& attended_BTC, bool recomputes) const;
};

struct ForwardOptions {
  AttentionKind attention = AttentionKind::kFull;
  int64_t segment_length = 0;        // for segments, s2 and hici; 0: a sequence is one segment
  at::Tensor valid_BT;               // bool, right padding; undefined: no padding
  ActivationPolicies policies = {};  // what each layer keeps for the backward pass; empty: everything
  ops::AttentionBackend backend = ops::AttentionBackend::kAuto;
  SequenceLengths sequences = {};         // several sequences in a row; empty: each row is one
  config::DualChunk dual_chunk = {};      // for dca, which has no backward pass
  AttentionObserver* observer = nullptr;  // receives every layer of HiCI attention; twice where it is recomputed
  parallel::SegmentShare share = {};      // for hici: the tokens are these segments of a sequence
  Dropout dropout = {};                   // of the adapters; `first` and `units` follow from the tokens
};

// One segment of a sequence that goes through the model segment by segment. Segments of one sequence have one length.
struct Segment {
  at::Tensor tokens_BS;                // int64, on the model's device
  int64_t index = 0;                   // from 0; the first token has position index * S
  at::Tensor valid_BS;                 // bool, right padding; undefined: no padding
  ops::RotaryFrequencies frequencies;  // CausalLm::rotary_frequencies(), made once for a sequence
  ops::AttentionBackend backend = ops::AttentionBackend::kAuto;
  // Not whole: the processes of the group take neighbouring segments at a time, and this one is one of these.
  parallel::SegmentShare share = {};
  Dropout dropout = {};  // of the adapters; `first` and `units` follow from index and tokens
};

// The state of every layer before a segment, or before the segments that several processes take at a time.
using ModelState = std::vector<LayerState>;

struct SegmentHidden {
  at::Tensor hidden_BSC;  // after the last norm
  ModelState after;
};

// What else happens while all parameters are visited; each may be empty.
struct LayerEvents {
  std::function<void(size_t layer)> before = {}, after = {};
};

class CausalLm {
 public:
  // Parameters are on the meta device until they are filled through visit_parameters().
  CausalLm(const config::ModelConfig& config, const ParameterOptions& options);

  // tokens_BT int64 -> final hidden states [B, T, C], after the last norm.
  at::Tensor forward_hidden(const at::Tensor& tokens_BT, const ForwardOptions& options) const;

  // HiCI attention over one segment, or attention inside it in a model without a hierarchy: forward_hidden() over a
  // whole sequence is forward_segment() over its segments in turn, each given the state after the one before it, and
  // gradients go the same way back through the states. Only for hierarchies where no segment needs a later one. Does
  // not wait for the device. A layer that is recomputed keeps its input and the state before it for the backward pass.
  SegmentHidden forward_segment(const Segment& segment, const ModelState& before,
                                const ActivationPolicies& policies = {}) const;
  ModelState empty_state(int64_t batch) const;

  ops::RotaryFrequencies rotary_frequencies() const;

  // [V, C]: the output head, or the embedding when they are tied.
  const at::Tensor& head_weight() const { return config_.tie_word_embeddings ? embed_tokens_ : lm_head_; }

  // An error that begins with `subject` when `backend` cannot attend with this model's device, type and head size, and
  // `slots` keys that every query of a segment sees.
  void check_attention_backend(ops::AttentionBackend backend, std::string_view subject, int64_t slots = 0) const;

  void visit_parameters(const ParameterVisitor& visit, const LayerEvents& events = {});
  // Of all kinds, in every format.
  int64_t num_parameters();
  // Those of one layer, under the same names.
  void visit_layer(size_t layer, const ParameterVisitor& visit);
  void add_lora(const config::LoraConfig& lora);
  // The projections and MLPs of the layers whose weights are frozen, in this format from now on. An error when device,
  // type or a width does not allow it. Without `has_backward` no gradient goes through
  // those in 8 bits, and they take half the memory. Those that are quantised stay as they are.
  void quantise_frozen(config::BaseFormat format, bool has_backward = true);
  // Of one layer; the first one of a model comes first.
  void quantise_layer(size_t layer, config::BaseFormat format, bool has_backward = true);
  void check_base_format(config::BaseFormat format) const;

  // Frozen weights that are on the device only while their layer is at work. The forward passes of training and
  // evaluation, not those with a cache, see to it by themselves.
  void keep_frozen_weights(std::unique_ptr<FrozenWeights> frozen) { frozen_ = std::move(frozen); }
  FrozenWeights* frozen_weights() const { return frozen_.get(); }
  // Before anything else reads weights of a layer. Processes that cut them among themselves make the same calls.
  void use_weights(size_t layer) const {
    if (frozen_) frozen_->use(static_cast<int64_t>(layer));
  }

  const config::ModelConfig& config() const { return config_; }
  std::vector<DecoderLayer>& layers() { return layers_; }
  const std::vector<DecoderLayer>& layers() const { return layers_; }
  at::Tensor& embed_tokens() { return embed_tokens_; }
  const at::Tensor& embed_tokens() const { return embed_tokens_; }
  // The last norm, over hidden states of any shape.
  at::Tensor normed(const at::Tensor& x) const;
  // Where a parameter was read from, for messages; "" where nothing was said of it.
  void set_file_of(const std::string& parameter, std::string file) { files_[parameter] = std::move(file); }
  const std::string& file_of(const std::string& parameter) const;
  void set_context_factor(double factor) { config_.rope.context_factor = factor; }

 private:
  AttentionInputs make_inputs(const at::Tensor& tokens_BT, const ForwardOptions& options) const;
  // body(), which runs the layer, with its weights there; also in the backward pass.
  template <typename Body>
  TensorList with_weights(size_t layer, const Body& body) const;

  config::ModelConfig config_;
  at::Tensor embed_tokens_, norm_, lm_head_;
  std::vector<DecoderLayer> layers_;
  std::unique_ptr<FrozenWeights> frozen_;     // null: all weights are on the device
  std::map<std::string, std::string> files_;  // by parameter
};

}  // namespace hici::nn
