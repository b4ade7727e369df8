// SPDX-License-Identifier: Apache-2.0
#include "hici/train/optimizer_state.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/base/parse_number.h"
#include "hici/config/bounds.h"
#include "hici/io/checkpoint/training_state.h"
#include "hici/ops/types.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

namespace hici::train {
namespace {

constexpr const char* kMaster = "master.";
constexpr int64_t kDone = -1;

const parallel::ProcessGroup& control_of(const ParameterShards& shards) { return shards.world().control(); }

}  // namespace

OptimizerState::OptimizerState(const ParameterShards& shards, optim::AdamW& optimizer)
    : shards_(shards), optimizer_(optimizer) {
  const auto& parameters = shards.parameters();
  for (size_t i = 0; i < parameters.size(); ++i) {
    const auto type = parameters[i].tensor.scalar_type(), wide = ops::accumulation_type(type);
    for (const char* kind : {"exp_avg.", "exp_avg_sq."}) entries_.push_back({kind, i, wide});
    if (type != wide) entries_.push_back({kMaster, i, wide});
  }
  optimizer_.visit_state([&](const std::string& name, at::Tensor& t) { pieces_[name] = t; });
}

std::vector<io::TensorToWrite> OptimizerState::tensors() const {
  std::vector<io::TensorToWrite> tensors;
  for (size_t i = 0; i < entries_.size(); ++i) {
    const at::Tensor& parameter = shards_.parameters()[entries_[i].parameter].tensor;
    tensors.emplace_back(name_of(entries_[i]), entries_[i].type, parameter.sizes().vec(),
                         [this, i] { return collect(i); });
  }
  return tensors;
}

std::map<std::string, io::TensorToWrite> OptimizerState::master_weights() const {
  std::map<std::string, io::TensorToWrite> masters;
  const std::string prefix = kMaster;
  for (io::TensorToWrite& tensor : tensors()) {
    if (!tensor.name.starts_with(prefix)) continue;
    tensor.name = tensor.name.substr(prefix.size());
    masters.emplace(tensor.name, tensor);
  }
  return masters;
}

// In the leader: asks all others for entry `index`, whose parts come in their order.
at::Tensor OptimizerState::collect(size_t index) const {
  const Entry& entry = entries_[index];
  const std::string name = name_of(entry);
  optimizer_.finish();
  if (!shards_.is_cut()) return pieces_.at(name);
  const at::Tensor& parameter = shards_.parameters()[entry.parameter].tensor;
  at::Tensor number = at::tensor(static_cast<int64_t>(index), at::kLong);
  control_of(shards_).broadcast(number, 0);
  const at::Tensor whole = at::empty({parameter.numel()}, at::TensorOptions().dtype(entry.type));
  for (const ParameterShards::Owned& part : shards_.owners_of(entry.parameter)) {
    const at::Tensor place = whole.narrow(0, part.begin, part.size);
    if (part.rank == 0) {
      place.copy_(pieces_.at(name));
    } else {
      control_of(shards_).receive(place, part.rank);
    }
  }
  return whole.view(parameter.sizes());
}

void OptimizerState::send_own_part(size_t index) const {
  const Entry& entry = entries_[index];
  optimizer_.finish();
  for (const ParameterShards::Owned& part : shards_.owners_of(entry.parameter)) {
    if (part.rank == shards_.world().rank())
      control_of(shards_).send(pieces_.at(name_of(entry)).to(at::kCPU).contiguous(), 0);
  }
}

void OptimizerState::serve() const {
  for (;;) {
    at::Tensor number = at::zeros({}, at::kLong);
    control_of(shards_).broadcast(number, 0);
    if (number.item<int64_t>() == kDone) return;
    send_own_part(static_cast<size_t>(number.item<int64_t>()));
  }
}

void OptimizerState::tell_done() const {
  at::Tensor done = at::tensor(kDone, at::kLong);
  control_of(shards_).broadcast(done, 0);
}

void OptimizerState::write_together(const std::function<void()>& leaders_work) const {
  const at::NoGradGuard no_grad;
  if (shards_.is_cut() && !shards_.world().is_leader()) serve();
  parallel::on_leader(shards_.world(), [&] {
    struct AtEnd {  // also when the work throws: the others wait
      const OptimizerState& state;
      ~AtEnd() {
        if (state.shards_.is_cut()) state.tell_done();
      }
    };
    const AtEnd at_end{*this};
    leaders_work();
  });
}

void OptimizerState::read(const std::filesystem::path& checkpoint) {
  const at::NoGradGuard no_grad;
  const std::filesystem::path path = checkpoint / io::kOptimizerName;
  const io::SafetensorsFile file(path);
  for (const Entry& entry : entries_) {
    const std::string name = name_of(entry);
    const at::Tensor& parameter = shards_.parameters()[entry.parameter].tensor;
    HICI_CHECK(file.has(name) && file.info(name).shape == parameter.sizes().vec(), path.string(), ": tensor '", name,
               "' is missing or has another shape; was the run started with other `trainable_params` or HiCI options?");
    for (const ParameterShards::Owned& part : shards_.owners_of(entry.parameter)) {
      if (part.rank != shards_.world().rank()) continue;
      const at::Tensor& piece = pieces_.at(name);
      piece.copy_(file.read(name, entry.type).view({-1}).narrow(0, part.begin, part.size).view(piece.sizes()));
    }
  }
  const auto steps = file.metadata().find(kStepsKey);
  HICI_CHECK(steps != file.metadata().end(), path.string(), ": says no ", kStepsKey,
             "; it is no optimizer state of a checkpoint");
  const auto taken = parse_number<int64_t>(steps->second);
  HICI_CHECK(taken && *taken >= 0 && *taken <= config::kMaxCount, path.string(), ": ", kStepsKey, " is '",
             printable(steps->second), "', expected a number of steps; the file is damaged");
  optimizer_.set_steps_taken(*taken);
}

}  // namespace hici::train
