// SPDX-License-Identifier: Apache-2.0
// The optimizer's state as the whole tensors of a checkpoint, whatever process holds which part of them: a checkpoint
// is the same for every number of processes.
#pragma once

#include "hici/io/safetensors.h"
#include "hici/optim/adamw.h"
#include "hici/train/parameter_shards.h"

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace hici::train {

constexpr const char* kStepsKey = "optimizer_steps";  // in the metadata of the optimizer's file

class OptimizerState {
 public:
  // Both are kept by reference; `optimizer` updates shards.updated().
  OptimizerState(const ParameterShards& shards, optim::AdamW& optimizer);

  // "exp_avg.NAME", "exp_avg_sq.NAME" and, for parameters narrower than float32, "master.NAME", with the shapes of the
  // whole parameters. Where processes share the state they are loaded within write_together() only.
  std::vector<io::TensorToWrite> tensors() const;
  // The master weights among them, by the names of their parameters.
  std::map<std::string, io::TensorToWrite> master_weights() const;
  int64_t steps_taken() const { return optimizer_.steps_taken(); }

  // All processes call it: the leader works, and the others send what tensors() asks for meanwhile.
  void write_together(const std::function<void()>& leaders_work) const;

  // Moments, master weights and the number of steps of `checkpoint` into the optimizer; every tensor must be there with
  // its shape.
  void read(const std::filesystem::path& checkpoint);

 private:
  // One tensor of the state of a parameter: "exp_avg." and so on.
  struct Entry {
    const char* kind;
    size_t parameter;
    at::ScalarType type;
  };
  std::string name_of(const Entry& entry) const { return entry.kind + shards_.parameters()[entry.parameter].name; }
  at::Tensor collect(size_t index) const;
  void send_own_part(size_t index) const;
  void serve() const;
  void tell_done() const;

  const ParameterShards& shards_;
  optim::AdamW& optimizer_;
  std::vector<Entry> entries_;                // the same in every process
  std::map<std::string, at::Tensor> pieces_;  // of this process, by name
};

}  // namespace hici::train
