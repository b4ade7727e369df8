// SPDX-License-Identifier: Apache-2.0
#include "hici/device/profile.h"

#include "hici/base/error.h"
#include "hici/device/autograd_node.h"
#include "hici/device/device.h"
#include "hici/device/time_mark.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/variable.h>

#include <mutex>
#include <vector>

namespace hici::device {

// One mark: from this moment on the work belongs to `part`.
struct Profile::Marks {
  struct Mark {
    Part part;
    TimeMark time;
  };

  explicit Marks(at::Device d) : device(d) {}

  void add(Part part) {
    const std::lock_guard lock(mutex);
    marks.push_back({part, TimeMark(device)});
    current.store(part, std::memory_order_relaxed);
  }

  at::Device device;
  std::mutex mutex;
  std::atomic<Part> current = Part::kRest;
  std::vector<Mark> marks;
};

std::atomic<Profile::Marks*> PartSwitch::active_ = nullptr;

Profile::Profile(at::Device device) : marks_(std::make_unique<Marks>(device)) {
  HICI_ASSERT(PartSwitch::active_.load() == nullptr, "a second profile in one process");
  synchronize(device);
  marks_->add(Part::kRest);
  PartSwitch::active_.store(marks_.get());
}

Profile::~Profile() { PartSwitch::active_.store(nullptr); }

PartSeconds Profile::finish() {
  PartSwitch::active_.store(nullptr);
  marks_->add(Part::kRest);
  synchronize(marks_->device);
  PartSeconds seconds{};
  for (size_t i = 0; i + 1 < marks_->marks.size(); ++i) {
    const Marks::Mark& mark = marks_->marks[i];
    seconds[static_cast<size_t>(mark.part)] += marks_->marks[i + 1].time.seconds_since(mark.time);
  }
  return seconds;
}

namespace {

// Identity; its backward calls `on_backward`.
class SwitchNode : public torch::autograd::Node {
 public:
  explicit SwitchNode(std::function<void()> on_backward) : on_backward_(std::move(on_backward)) {}

  torch::autograd::variable_list apply(torch::autograd::variable_list&& grads) override {
    on_backward_();
    return std::move(grads);
  }

  std::string name() const override { return "hici::PartSwitchBackward"; }

 private:
  std::function<void()> on_backward_;
};

bool takes_gradient(const at::Tensor& t) { return t.defined() && t.requires_grad(); }

// Returns the tensors as outputs of one autograd node, which runs when the gradients of all of them have arrived.
// Tensors without gradients are returned as they are.
std::vector<at::Tensor> insert_node(std::function<void()> on_backward, const std::vector<at::Tensor>& tensors) {
  std::vector<at::Tensor> out = tensors;
  if (!at::GradMode::is_enabled()) return out;
  torch::autograd::edge_list edges;
  for (const at::Tensor& t : tensors) {
    if (takes_gradient(t)) edges.push_back(torch::autograd::impl::gradient_edge(t));
  }
  if (edges.empty()) return out;
  auto node = make_node<SwitchNode>(std::move(on_backward));
  node->set_next_edges(std::move(edges));
  for (at::Tensor& t : out) {
    if (!takes_gradient(t)) continue;
    at::Tensor same = t.detach();
    torch::autograd::set_history(same, node);
    t = same;
  }
  return out;
}

}  // namespace

bool PartSwitch::is_outermost() {
  const Profile::Marks* marks = active_.load();
  return marks != nullptr && marks->current.load(std::memory_order_relaxed) == Part::kRest;
}

std::vector<at::Tensor> PartSwitch::enter(Part part, const std::vector<at::Tensor>& inputs) {
  const std::vector<at::Tensor> marked = insert_node([] { add(Part::kRest); }, inputs);
  add(part);
  return marked;
}

std::vector<at::Tensor> PartSwitch::leave(Part part, const std::vector<at::Tensor>& outputs) {
  add(Part::kRest);
  return insert_node([part] { add(part); }, outputs);
}

void PartSwitch::add(Part part) {
  // A graph may outlive the profile under which it was made.
  if (Profile::Marks* marks = active_.load()) marks->add(part);
}

}  // namespace hici::device
