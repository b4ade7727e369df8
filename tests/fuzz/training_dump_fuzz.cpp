// SPDX-License-Identifier: Apache-2.0
// A training checkpoint of DeepSpeed: the pickles of a file of model states and of one of optimizer states, cut apart
// by a number of 4 bytes in front. The archives around them are whole; torch_file_fuzz.cpp has those.
#include "fuzz/fuzz_target.h"
#include "fuzz/targets.h"

#include "hici/io/deepspeed/training_dump.h"
#include "support/deepspeed_dump.h"

#include <ATen/core/Tensor.h>

namespace hici::fuzz {
namespace {

using testing::pickled_int;
using testing::pickled_list;
using testing::pickled_mapping;
using testing::pickled_string;

std::string both(const std::string& model, const std::string& optimizer) {
  return testing::little_endian(model.size(), 4) + model + optimizer;
}

std::string vector_of(const std::string& key, int64_t elements, const std::vector<int64_t>& sizes) {
  return testing::pickled_tensor(
      {.name = "", .key = key, .elements = elements, .sizes = sizes, .strides = {sizes.size() > 1 ? sizes[1] : 1, 1}});
}

std::string flat(const std::string& key, int64_t elements, int64_t size) {
  return testing::pickled_tensor({.name = "", .key = key, .elements = elements, .sizes = {size}, .strides = {1}});
}

}  // namespace

void read_training_dump(std::string_view bytes) {
  static const ScratchFolder folder;
  uint64_t length = 0;
  for (size_t i = 0; i < 4 && i < bytes.size(); ++i)
    length |= uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  bytes.remove_prefix(std::min<size_t>(4, bytes.size()));
  const std::string_view model = bytes.substr(0, length);
  const std::string_view optimizer = bytes.substr(model.size());
  const std::vector<std::string> storages = {std::string(32, '\1'), std::string(16, '\2')};
  folder.write("mp_rank_00_model_states.pt", testing::torch_file(std::string(model), storages));
  folder.write("zero_pp_rank_0_mp_rank_00_optim_states.pt", testing::torch_file(std::string(optimizer), storages));
  const io::TrainingDump dump = io::open_training_dump(folder.path());
  for (const auto& [name, info] : dump.source->tensors())
    require(dump.source->read(name).nbytes() == info.num_bytes(), "a tensor of another size than its shape says");
  dump.finish();
}

std::vector<std::string> training_dump_seeds() {
  const std::string model = testing::pickled_root(
      {{"module", pickled_mapping({{"buffer", flat("1", 4, 4)}, {"frozen", vector_of("1", 4, {2, 2})}})},
       {"buffer_names", pickled_list({pickled_string("buffer")})},
       {"param_shapes",
        pickled_list({pickled_mapping({{"w", testing::pickled_size({2, 3})}, {"v", testing::pickled_size({1})}})})},
       {"frozen_param_shapes", pickled_mapping({{"frozen", testing::pickled_size({2, 2})}})},
       {"frozen_param_fragments", pickled_mapping({{"frozen", vector_of("1", 4, {2, 2})}})},
       {"shared_params", pickled_mapping({{"head", pickled_string("w")}})},
       {"ds_config", pickled_mapping({{"zero_optimization", pickled_mapping({{"stage", pickled_int(2)}})}})}});
  const std::string optimizer = testing::pickled_root(
      {{"optimizer_state_dict",
        pickled_mapping(
            {{"loss_scaler", testing::pickled_global("deepspeed.x", "Scaler") + ")\x81" +
                                 pickled_mapping({{"scale", pickled_int(1)}}) + "b"},
             {"zero_stage", testing::pickled_call("deepspeed.runtime.zero.config", "ZeroStageEnum", pickled_int(2))},
             {"partition_count", pickled_list({pickled_int(1)})},
             {"param_alignment_paddings", pickled_list({pickled_list({pickled_int(1), pickled_int(0)})})},
             {"single_partition_of_fp32_groups", pickled_list({flat("0", 8, 8)})}})}});
  return {both(model, optimizer)};
}

}  // namespace hici::fuzz
