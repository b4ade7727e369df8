// SPDX-License-Identifier: Apache-2.0
#include "hici/train/segment_streaming.h"

#include "hici/base/error.h"
#include "hici/base/signals.h"
#include "hici/device/profile.h"
#include "hici/ops/linear_cross_entropy.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

namespace hici::train {
namespace {

bool has_tensors(const nn::ModelState& state) { return !state.empty() && !state.front().empty(); }

// States before segments 1, 2, ..., taken back in reverse. The k-th tensors of all layers are kept as one, so that a
// state is one or two copies, not one for each layer; and all states lie in one block, so that small tensors which stay
// do not pin down the memory between the large ones that come and go, and pinning is done once.
class StateStack {
 public:
  StateStack(at::Device device, int64_t capacity) : device_(device), capacity_(capacity) {}

  void push(const nn::ModelState& state) {
    for (size_t part = 0; part < state.front().size(); ++part) {
      nn::TensorList layers;
      for (const nn::LayerState& layer : state) layers.push_back(layer[part]);
      const at::Tensor packed = at::stack(layers);
      if (blocks_.size() == part) blocks_.push_back(make_block(packed));
      // Queued behind the work that makes the state, and before the copy back.
      blocks_[part].select(0, size_).copy_(packed, /*non_blocking=*/true);
    }
    ++size_;
  }

  // Leaves that want a gradient.
  nn::ModelState pop() {
    --size_;
    nn::ModelState state;
    for (const at::Tensor& block : blocks_) {
      const nn::TensorList layers = block.select(0, size_).to(device_, /*non_blocking=*/true).unbind(0);
      state.resize(layers.size());
      for (size_t i = 0; i < layers.size(); ++i) state[i].push_back(layers[i].detach().requires_grad_());
    }
    return state;
  }

 private:
  at::Tensor make_block(const at::Tensor& packed) const {
    std::vector<int64_t> shape = packed.sizes().vec();
    shape.insert(shape.begin(), capacity_);
    return at::empty(shape, packed.options().device(at::kCPU).pinned_memory(device_.is_cuda()));
  }

  at::Device device_;
  int64_t capacity_;
  int64_t size_ = 0;
  nn::TensorList blocks_;  // [capacity, L, ...]
};

class SegmentStream {
 public:
  SegmentStream(const nn::CausalLm& model, const nn::ForwardOptions& forward, const data::TokenBatch& batch,
                int64_t targets_in_step, const StreamEvents& events)
      : model_(model),
        forward_(forward),
        events_(events),
        tokens_(batch.tokens_BT.to(model.head_weight().device(), /*non_blocking=*/true)),
        labels_(batch.labels_BT.to(model.head_weight().device(), /*non_blocking=*/true)),
        targets_(static_cast<double>(targets_in_step)),
        num_segments_(tokens_.size(1) / forward.segment_length),
        frequencies_(model.rotary_frequencies()),
        states_(tokens_.device(), num_segments_ - 1),
        loss_(at::zeros({}, tokens_.options().dtype(at::kDouble))) {}

  at::Tensor run() { return make_states() && make_gradients() ? loss_ : at::Tensor(); }

 private:
  bool should_stop() const { return events_.should_stop ? events_.should_stop() : stop_requested() != 0; }

  // False when it was to stop.
  bool make_states() {
    const at::NoGradGuard no_grad;
    nn::ModelState state = model_.empty_state(tokens_.size(0));
    if (!has_tensors(state)) return true;
    for (int64_t i = 0; i + 1 < num_segments_; ++i) {
      if (should_stop()) return false;
      state = model_.forward_segment(segment(i), state).after;
      states_.push(state);
      if (events_.on_segment) events_.on_segment(StreamPass::kStates, i + 1, num_segments_ - 1);
    }
    return true;
  }

  bool make_gradients() {
    const nn::ModelState empty = model_.empty_state(tokens_.size(0));
    nn::ModelState from_later(empty.size());  // gradients of the state after the segment in hand
    for (int64_t i = num_segments_ - 1; i >= 0; --i) {
      if (should_stop()) return false;
      const nn::ModelState before = i > 0 && has_tensors(empty) ? states_.pop() : empty;
      run_backward(i, before, from_later);
      for (size_t layer = 0; layer < before.size(); ++layer) {
        from_later[layer].clear();
        for (const at::Tensor& leaf : before[layer]) from_later[layer].push_back(leaf.grad());
      }
      if (events_.on_gradients) events_.on_gradients();
      if (events_.on_segment) events_.on_segment(StreamPass::kGradients, num_segments_ - i, num_segments_);
    }
    return true;
  }

  void run_backward(int64_t index, const nn::ModelState& before, const nn::ModelState& from_later) {
    const nn::SegmentHidden out = model_.forward_segment(segment(index), before, forward_.policies);
    const at::Tensor hidden = out.hidden_BSC.view({-1, out.hidden_BSC.size(-1)});
    const at::Tensor labels = cut(labels_, index).reshape({-1});
    const auto part_of_loss = [&](const at::Tensor& h) {
      return ops::linear_cross_entropy(h, model_.head_weight(), labels) / targets_;
    };
    nn::TensorList roots{device::profiled(device::Part::kLoss, part_of_loss, hidden)};
    nn::TensorList root_grads{at::ones_like(roots[0])};
    loss_.add_(roots[0].detach());
    for (size_t layer = 0; layer < from_later.size(); ++layer) {
      for (size_t part = 0; part < from_later[layer].size(); ++part) {
        // Nothing came back where no later segment looked, or where no parameter of the state is trained.
        if (!from_later[layer][part].defined() || !out.after[layer][part].requires_grad()) continue;
        roots.push_back(out.after[layer][part]);
        root_grads.push_back(from_later[layer][part]);
      }
    }
    torch::autograd::backward(roots, root_grads);
  }

  // Number `index` of the segments that are here: of several processes each takes one at a time, in their order.
  // The labels of the whole block are shifted already: that of a segment's last token is the next one's first.
  at::Tensor cut(const at::Tensor& t_BT, int64_t index) const {
    return t_BT.narrow(1, index * forward_.segment_length, forward_.segment_length);
  }

  nn::Segment segment(int64_t index) const {
    const at::Tensor valid = forward_.valid_BT.defined() ? cut(forward_.valid_BT, index) : at::Tensor();
    const auto& share = forward_.share;
    const int64_t number = share.is_whole() ? index : index * share.group->size() + share.group->rank();
    return {cut(tokens_, index), number, valid, frequencies_, forward_.backend, share, forward_.dropout};
  }

  const nn::CausalLm& model_;
  const nn::ForwardOptions& forward_;
  const StreamEvents& events_;
  at::Tensor tokens_, labels_;
  double targets_;
  int64_t num_segments_;
  ops::RotaryFrequencies frequencies_;
  StateStack states_;
  at::Tensor loss_;  // float64: hundreds of parts are added
};

}  // namespace

void check_streamable(nn::AttentionKind attention, const config::HiciConfig& hici) {
  nn::check_stays_in_segments(attention, "`stream_segments`");
  if (attention == nn::AttentionKind::kHici) hici.check_streamable();
}

at::Tensor streamed_gradients(const nn::CausalLm& model, const nn::ForwardOptions& forward,
                              const data::TokenBatch& batch, int64_t targets_in_step, const StreamEvents& events) {
  using enum nn::AttentionKind;
  HICI_ASSERT((forward.attention == kHici || forward.attention == kSegments) && forward.segment_length > 0 &&
                  batch.tokens_BT.size(1) % forward.segment_length == 0,
              "T ", batch.tokens_BT.size(1), " S ", forward.segment_length);
  return SegmentStream(model, forward, batch, targets_in_step, events).run();
}

}  // namespace hici::train
