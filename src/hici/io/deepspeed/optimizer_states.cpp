// SPDX-License-Identifier: Apache-2.0
#include "hici/io/deepspeed/optimizer_states.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/io/tensor_source.h"

#include <c10/core/ScalarType.h>

#include <algorithm>
#include <optional>
#include <string>

namespace hici::io {
namespace {

using pickle::Kind;

// The BF16 optimizer (stage 1 with sums of gradients in float32) says no stage.
int64_t stage_of(const PickledValue& state) {
  const std::optional<PickledValue> stage = state.find("zero_stage");
  const int64_t number = stage ? stage->integer() : 1;
  HICI_CHECK(number >= 1 && number <= 3, state.subject(), " is of ZeRO stage ", number, ", read are 1, 2 and 3");
  return number;
}

// One number, or one for each group; experts have groups of fewer ranks.
int64_t number_of_ranks(const PickledValue& state) {
  const PickledValue value = state.at("partition_count");
  if (value.kind() != Kind::kList) return value.integer();
  const std::vector<int64_t> counts = value.integers();
  const auto is_other = [&](int64_t count) { return count != counts.front(); };
  HICI_CHECK(!counts.empty() && std::none_of(counts.begin(), counts.end(), is_other), value.subject(),
             " differs from group to group, as for a mixture of experts, which is not read");
  return counts.front();
}

std::vector<std::vector<int64_t>> paddings_of(const PickledValue& state) {
  std::vector<std::vector<int64_t>> out;
  if (const std::optional<PickledValue> all = state.find("param_alignment_paddings"))
    for (const PickledValue& group : all->items()) {
      out.push_back(group.integers());
      for (const int64_t padding : out.back())
        HICI_CHECK(padding >= 0 && padding <= 4096, group.subject(), ": padding of ", padding,
                   " elements, expected 0 to 4096");
    }
  return out;
}

std::vector<SavedTensor> vectors_of(const std::shared_ptr<const DumpFile>& file, const PickledValue& state,
                                    int64_t stage) {
  const char* key = stage == 3 ? "fp32_flat_groups" : "single_partition_of_fp32_groups";
  std::vector<SavedTensor> out;
  for (const PickledValue& value : state.at(key).items()) {
    out.emplace_back(file, value, detail::concat(key, "[", out.size(), "]"));
    HICI_CHECK(c10::isFloatingType(out.back().tensor.dtype), value.subject(), " is ",
               shown_dtype(out.back().tensor.dtype), ", expected floating point numbers; the file is damaged");
  }
  return out;
}

class Reader {
 public:
  explicit Reader(const DumpFiles& dump) : dump_(dump) {}

  OptimizerStates run() {
    for (const fs::path& path : dump_.optimizer_states) add(std::make_shared<DumpFile>(path));
    return std::move(out_);
  }

 private:
  void add(const std::shared_ptr<const DumpFile>& file) {
    const PickledValue root = file->root();
    const PickledValue state = root.at("optimizer_state_dict");
    const int64_t stage = stage_of(state), ranks = number_of_ranks(state);
    const auto num_files = static_cast<int64_t>(dump_.optimizer_states.size());
    HICI_CHECK(ranks == num_files, file->subject(), ": is of a run with ", ranks, " ranks (`partition_count`), and ",
               num_files, " files of ranks are here; fetch those that are missing, or remove those of another run");
    if (out_.vectors.empty()) {
      out_.stage = stage;
      out_.paddings = stage == 3 ? std::vector<std::vector<int64_t>>{} : paddings_of(state);
    }
    HICI_CHECK(stage == out_.stage, file->subject(), ": is of ZeRO stage ", stage, ", the file of rank 0 of stage ",
               out_.stage, "; do the files belong to one run?");
    out_.vectors.push_back(vectors_of(file, state, stage));
    HICI_CHECK(out_.vectors.back().size() == out_.vectors.front().size(), file->subject(), ": has ",
               out_.vectors.back().size(), " groups of parameters, the file of rank 0 ", out_.vectors.front().size(),
               "; do the files belong to one run?");
    out_.files.push_back(file);
  }

  const DumpFiles& dump_;
  OptimizerStates out_;
};

std::string shown(const ParameterShape& parameter) {
  return detail::concat("parameter '", printable(parameter.name), "' ", shown_shape(parameter.shape));
}

// Of stages 1 and 2: all ranks have as much, until the vector ends.
FlatVector join_ranks(const OptimizerStates& states, size_t group) {
  FlatVector out;
  const int64_t full = states.vectors.front()[group].num_elements();
  int64_t before = full;
  for (const std::vector<SavedTensor>& rank : states.vectors) {
    const int64_t size = rank[group].num_elements();
    HICI_CHECK(size <= full && (size == 0 || before == full), rank[group].file->subject(), ": has ", size,
               " elements of group ", group, ", the rank before has ", before, " and rank 0 ", full,
               "; do the files belong to one run?");
    before = size;
    out.append(rank[group]);
  }
  return out;
}

void place_group(const OptimizerStates& states, size_t group, const std::vector<ParameterShape>& parameters,
                 FlatPlaces& places) {
  FlatVector vector = join_ranks(states, group);
  const std::string& folder = states.files.front()->subject();
  const std::vector<int64_t> paddings =
      states.paddings.empty() ? std::vector<int64_t>(parameters.size(), 0) : states.paddings.at(group);
  HICI_CHECK(paddings.size() == parameters.size(), folder, ": has ", paddings.size(), " paddings for the ",
             parameters.size(), " parameters of group ", group, "; do the files belong to one run?");
  std::vector<int64_t>& begins = places.begins.emplace_back();
  int64_t at = 0;
  for (size_t i = 0; i < parameters.size(); ++i) {
    HICI_CHECK(parameters[i].count <= vector.size() - at, folder, ": ", shown(parameters[i]), " would end at element ",
               at + parameters[i].count, " of group ", group, ", whose ranks have ", vector.size(),
               "; do optimizer and model states belong to one run?");
    begins.push_back(at);
    at += parameters[i].count;
    if (i + 1 < parameters.size()) at += std::min(paddings[i], vector.size() - at);
  }
  // Vectors were filled up to a multiple of twice the ranks; only the BF16 optimizer keeps that.
  const int64_t multiple = 2 * states.world_size();
  const int64_t filled_up = (at + multiple - 1) / multiple * multiple;
  HICI_CHECK(vector.size() == at || vector.size() == filled_up, folder, ": group ", group, " has ", vector.size(),
             " elements, its parameters have ", at, "; do optimizer and model states belong to one run?");
  places.vectors.push_back(std::move(vector));
}

FlatPlaces place_shares(const OptimizerStates& states, const ParameterGroups& groups) {
  FlatPlaces out;
  for (const std::vector<SavedTensor>& rank : states.vectors) {
    FlatVector& vector = out.vectors.emplace_back();
    for (const SavedTensor& part : rank) vector.append(part);
    HICI_CHECK(vector.size() == out.vectors.front().size(), states.files[out.vectors.size() - 1]->subject(), ": has ",
               vector.size(), " elements, the file of rank 0 ", out.vectors.front().size(),
               "; do the files belong to one run?");
    HICI_CHECK(vector.parts().empty() || vector.dtype() == out.vectors.front().dtype(),
               states.files[out.vectors.size() - 1]->subject(), ": has another type than the file of rank 0; ",
               "do the files belong to one run?");
  }
  const std::string& first = states.files.front()->subject();
  const int64_t size = out.vectors.front().size();
  int64_t at = 0;
  for (const std::vector<ParameterShape>& group : groups) {
    std::vector<int64_t>& begins = out.begins.emplace_back();
    for (const ParameterShape& parameter : group) {
      const int64_t share = share_of_rank(parameter.count, states.world_size());
      HICI_CHECK(share <= size - at, first, ": ", shown(parameter), " would end at element ", at + share,
                 " of a rank, which has ", size, "; do optimizer and model states belong to one run?");
      begins.push_back(at);
      at += share;
    }
  }
  HICI_CHECK(at == size, first, ": a rank has ", size, " elements, its shares of the parameters have ", at,
             "; do optimizer and model states belong to one run?");
  return out;
}

}  // namespace

OptimizerStates read_optimizer_states(const DumpFiles& dump) { return Reader(dump).run(); }

FlatPlaces place_parameters(const OptimizerStates& states, const ParameterGroups& groups) {
  if (states.stage == 3) return place_shares(states, groups);
  const size_t num_groups = states.vectors.front().size();
  const std::string& first = states.files.front()->subject();
  HICI_CHECK(num_groups == groups.size(), first, ": has ", num_groups, " groups of parameters, the model states have ",
             groups.size(), "; do the files belong to one run?");
  HICI_CHECK(states.paddings.empty() || states.paddings.size() == num_groups, first, ": has paddings for ",
             states.paddings.size(), " of ", num_groups, " groups; the file is damaged");
  FlatPlaces out;
  for (size_t group = 0; group < num_groups; ++group) place_group(states, group, groups[group], out);
  return out;
}

}  // namespace hici::io
