// SPDX-License-Identifier: Apache-2.0
// Training checkpoints of DeepSpeed, made byte by byte: what its files hold of the weights, and nothing of the rest.
#pragma once

#include "support/torch_archive.h"

#include "hici/base/file.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace hici::testing {

using PickledItems = std::vector<std::pair<std::string, std::string>>;  // keys and pickled values

inline std::string pickled_mapping(const PickledItems& items) {
  std::string out = "}(";
  for (const auto& [name, value] : items) out += pickled_string(name) + value;
  return out + "u";
}
inline std::string pickled_list(const std::vector<std::string>& values) {
  std::string out = "](";
  for (const std::string& value : values) out += value;
  return out + "e";
}
// The call of a class or function with arguments.
inline std::string pickled_call(const std::string& module, const std::string& name, const std::string& arguments) {
  return detail::concat(pickled_global(module, name), "(", arguments, "tR");
}
inline std::string pickled_size(const std::vector<int64_t>& sizes) {
  return pickled_call("torch", "Size", pickled_ints(sizes));
}
inline std::string pickled_root(const PickledItems& items) { return "\x80\x02" + pickled_mapping(items) + "."; }

// Storages of one file, and tensors on them.
class PickledStorages {
 public:
  // The whole of a new storage.
  std::string tensor(const std::vector<float>& values, const std::vector<int64_t>& sizes) {
    return view(values, 0, sizes);
  }
  std::string vector(const std::vector<float>& values) {
    return view(values, 0, {static_cast<int64_t>(values.size())});
  }
  // Of a storage with more elements than the tensor.
  std::string view(const std::vector<float>& values, int64_t offset, const std::vector<int64_t>& sizes) {
    PickledView shown{.name = "", .key = std::to_string(contents_.size())};
    shown.elements = static_cast<int64_t>(values.size());
    shown.offset = offset;
    shown.sizes = sizes;
    shown.strides = std::vector<int64_t>(sizes.size(), 1);
    for (size_t i = sizes.size(); i-- > 1;) shown.strides[i - 1] = shown.strides[i] * sizes[i];
    contents_.emplace_back(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    return pickled_tensor(shown);
  }
  const std::vector<std::string>& contents() const { return contents_; }

 private:
  std::vector<std::string> contents_;
};

inline std::string torch_file(const std::string& pickle, const std::vector<std::string>& storages) {
  return zip_archive(torch_records(pickle, storages));
}

struct DumpedParameter {
  std::string name;
  std::vector<int64_t> shape;
  std::vector<float> values;
};

// A run of which each test changes what it is about.
struct DeepSpeedDump {
  int64_t stage = 2;
  size_t world_size = 2;
  std::vector<std::vector<DumpedParameter>> groups;
  std::vector<DumpedParameter> frozen;
  std::vector<DumpedParameter> module;  // whole, under `module`
  PickledItems more_of_model = {};      // further keys of the model states
  PickledItems more_of_optimizer = {};  // further keys of the optimizer's state
  std::vector<size_t> paddings = {};    // behind the parameters of every group
  std::string type = "";                // "bf16_"

  std::string pickled_stage() const {
    return pickled_call("deepspeed.runtime.zero.config", "ZeroStageEnum", pickled_int(stage));
  }

  static std::string pickled_shapes(const std::vector<DumpedParameter>& parameters) {
    PickledItems items;
    for (const DumpedParameter& each : parameters) items.emplace_back(each.name, pickled_size(each.shape));
    return pickled_mapping(items);
  }

  std::vector<float> share(const std::vector<float>& values, size_t rank) const {
    const size_t size = (values.size() + world_size - 1) / world_size;
    std::vector<float> out(size, 99.0F);  // what was there
    for (size_t i = 0; i < size && rank * size + i < values.size(); ++i) out[i] = values[rank * size + i];
    return out;
  }

  // The part of a group's vector that a rank has.
  std::vector<float> part(const std::vector<DumpedParameter>& group, size_t rank) const {
    std::vector<float> all;
    for (size_t i = 0; i < group.size(); ++i) {
      if (stage == 3) {
        const std::vector<float> mine = share(group[i].values, rank);
        all.insert(all.end(), mine.begin(), mine.end());
        continue;
      }
      all.insert(all.end(), group[i].values.begin(), group[i].values.end());
      if (i < paddings.size() && i + 1 < group.size()) all.insert(all.end(), paddings[i], 99.0F);
    }
    if (stage == 3) return all;
    const size_t size = (all.size() + 2 * world_size - 1) / (2 * world_size) * 2;
    const size_t begin = std::min(rank * size, all.size()), end = std::min(begin + size, all.size());
    return {all.begin() + static_cast<std::ptrdiff_t>(begin), all.begin() + static_cast<std::ptrdiff_t>(end)};
  }

  std::string model_states(size_t rank) const {
    PickledStorages storages;
    PickledItems fragments, whole;
    for (const DumpedParameter& each : frozen)
      fragments.emplace_back(
          each.name, stage == 3 ? storages.vector(share(each.values, rank)) : storages.tensor(each.values, each.shape));
    for (const DumpedParameter& each : module) whole.emplace_back(each.name, storages.tensor(each.values, each.shape));
    std::vector<std::string> shapes;
    for (const auto& group : groups) shapes.push_back(pickled_shapes(group));
    PickledItems items = {{"module", pickled_mapping(whole)}, {"param_shapes", pickled_list(shapes)}};
    if (!frozen.empty()) {
      items.emplace_back("frozen_param_shapes", pickled_shapes(frozen));
      items.emplace_back("frozen_param_fragments", pickled_mapping(fragments));
    }
    items.insert(items.end(), more_of_model.begin(), more_of_model.end());
    return torch_file(pickled_root(items), storages.contents());
  }

  std::string optimizer_states(size_t rank) const {
    PickledStorages storages;
    std::vector<std::string> vectors;
    for (const auto& group : groups) {
      std::vector<float> values = part(group, rank);
      const auto size = static_cast<int64_t>(values.size());
      values.insert(values.end(), 3, 77.0F);  // the storage goes on
      vectors.push_back(storages.view(values, 0, {size}));
    }
    PickledItems state = {{"zero_stage", pickled_stage()},
                          {"partition_count", pickled_int(static_cast<int64_t>(world_size))},
                          {stage == 3 ? "fp32_flat_groups" : "single_partition_of_fp32_groups", pickled_list(vectors)}};
    if (!paddings.empty()) {
      std::vector<std::string> numbers;
      for (const size_t padding : paddings) numbers.push_back(pickled_int(static_cast<int64_t>(padding)));
      state.emplace_back("param_alignment_paddings",
                         pickled_list(std::vector<std::string>(groups.size(), pickled_list(numbers))));
    }
    state.insert(state.end(), more_of_optimizer.begin(), more_of_optimizer.end());
    return torch_file(pickled_root({{"optimizer_state_dict", pickled_mapping(state)}}), storages.contents());
  }

  std::string model_name(size_t rank) const {
    return detail::concat(stage == 3 ? "zero_pp_rank_" + std::to_string(rank) + "_" : "", "mp_rank_00_model_states.pt");
  }
  std::string optimizer_name(size_t rank) const {
    return detail::concat(type, "zero_pp_rank_", rank, "_mp_rank_00_optim_states.pt");
  }

  // Into a folder global_step5 in `checkpoint`, with `latest` beside it; returns the folder.
  std::filesystem::path write(const std::filesystem::path& checkpoint) const {
    const std::filesystem::path folder = checkpoint / "global_step5";
    std::filesystem::create_directories(folder);
    write_file_atomically(checkpoint / "latest", "global_step5");
    for (size_t rank = 0; rank < (stage == 3 ? world_size : 1); ++rank)
      write_file_atomically(folder / model_name(rank), model_states(rank));
    for (size_t rank = 0; rank < world_size; ++rank)
      write_file_atomically(folder / optimizer_name(rank), optimizer_states(rank));
    return folder;
  }
};

}  // namespace hici::testing
