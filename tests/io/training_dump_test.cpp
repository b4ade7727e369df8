// SPDX-License-Identifier: Apache-2.0
#include "hici/io/deepspeed/training_dump.h"

#include "hici/io/adapter.h"
#include "hici/io/deepspeed/dump_folder.h"
#include "hici/io/extract.h"
#include "support/counted_memory.h"
#include "support/deepspeed_dump.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace hici::io {
namespace {

using namespace testing;  // NOLINT: the makers of files

std::vector<float> numbers(float first, size_t count) {
  std::vector<float> out(count);
  for (size_t i = 0; i < count; ++i) out[i] = first + static_cast<float>(i);
  return out;
}

DumpedParameter parameter(const std::string& name, const std::vector<int64_t>& shape, float first) {
  int64_t count = 1;
  for (const int64_t size : shape) count *= size;
  return {name, shape, numbers(first, static_cast<size_t>(count))};
}

DeepSpeedDump dump(int64_t stage, size_t world_size) {
  DeepSpeedDump out;
  out.stage = stage;
  out.world_size = world_size;
  out.groups = {{parameter("b", {3, 5}, 100), parameter("a", {7}, 200), parameter("scalar", {}, 300)},
                {parameter("c", {2, 2}, 400)}};
  return out;
}

void expect_values(const TensorSource& source, const DumpedParameter& parameter) {
  const at::Tensor expected = at::tensor(at::ArrayRef<float>(parameter.values)).view(parameter.shape);
  ASSERT_TRUE(source.has(parameter.name)) << parameter.name;
  EXPECT_EQ(source.info(parameter.name).shape, parameter.shape) << parameter.name;
  EXPECT_TRUE(source.read(parameter.name).equal(expected)) << parameter.name << source.read(parameter.name);
}

void expect_trained(const DeepSpeedDump& written, const TrainingDump& read) {
  size_t count = 0;
  for (const auto& group : written.groups)
    for (const DumpedParameter& each : group) {
      expect_values(*read.source, each);
      EXPECT_TRUE(read.trained.contains(each.name)) << each.name;
      ++count;
    }
  EXPECT_EQ(read.trained.size(), count);
  EXPECT_NO_THROW(read.finish());
}

void change(const fs::path& file, const std::function<void(std::string&)>& change) {
  std::string bytes = read_file(file, size_t{1} << 20);
  change(bytes);
  write_file_atomically(file, bytes);
}

PickledItems with_config(const std::string& key, const std::string& value) {
  return {{"ds_config", pickled_mapping({{"zero_optimization", pickled_mapping({{key, value}})}})}};
}

constexpr const char* kFalse = "\x89";
constexpr const char* kTrue = "\x88";

// The vector of a group is cut into equal parts; what the last ones lack is nowhere.
TEST(TrainingDumpTest, PutsPartsOfGroupsTogether) {
  for (const int64_t stage : {1, 2}) {
    for (const size_t world_size : {1, 2, 3, 4, 11, 40}) {
      const TemporaryFolder folder;
      const DeepSpeedDump written = dump(stage, world_size);
      const TrainingDump read = open_training_dump(written.write(folder.path()));
      expect_trained(written, read);
      EXPECT_EQ(read.world_size, static_cast<int64_t>(world_size));
    }
  }
}

// Filled up with whatever was there; ranks of two digits sort by number.
TEST(TrainingDumpTest, PutsSharesOfRanksTogether) {
  for (const size_t world_size : {1, 2, 3, 4, 11}) {
    const TemporaryFolder folder;
    DeepSpeedDump written = dump(3, world_size);
    written.frozen = {parameter("frozen", {5, 3}, 500), parameter("none", {0, 3}, 0)};
    const TrainingDump read = open_training_dump(written.write(folder.path()));
    expect_trained(written, read);
    expect_values(*read.source, written.frozen[0]);
    EXPECT_EQ(read.source->info("none").shape, (std::vector<int64_t>{0, 3}));
  }
}

// Sub-groups are filled by elements: a share may begin in one and end in another.
TEST(TrainingDumpTest, SharesMayCrossGroups) {
  const TemporaryFolder folder;
  DeepSpeedDump written = dump(3, 2);
  const fs::path place = written.write(folder.path());
  for (size_t rank = 0; rank < 2; ++rank) {
    std::vector<float> all = written.part(written.groups[0], rank);
    const std::vector<float> second = written.part(written.groups[1], rank);
    all.insert(all.end(), second.begin(), second.end());
    PickledStorages storages;
    std::vector<std::string> vectors;
    for (size_t at = 0, size = 5; at < all.size(); at += size, size = 3) {
      const auto begin = all.begin() + static_cast<std::ptrdiff_t>(at);
      vectors.push_back(storages.vector({begin, begin + static_cast<std::ptrdiff_t>(std::min(size, all.size() - at))}));
    }
    write_file_atomically(
        place / written.optimizer_name(rank),
        torch_file(
            pickled_root({{"optimizer_state_dict", pickled_mapping({{"zero_stage", pickled_int(3)},
                                                                    {"partition_count", pickled_int(2)},
                                                                    {"fp32_flat_groups", pickled_list(vectors)}})}}),
            storages.contents()));
  }
  expect_trained(written, open_training_dump(place));
}

TEST(TrainingDumpTest, SkipsPaddingsBetweenParameters) {
  const TemporaryFolder folder;
  DeepSpeedDump written = dump(2, 2);
  written.groups[1] = written.groups[0];
  for (DumpedParameter& each : written.groups[1]) each.name += "2";
  written.paddings = {1, 3, 0};
  expect_trained(written, open_training_dump(written.write(folder.path())));
}

TEST(TrainingDumpTest, ReadsWhatIsStoredWhole) {
  const TemporaryFolder folder;
  DeepSpeedDump written = dump(1, 2);
  written.module = {parameter("frozen", {2, 3}, 500), parameter("buffer", {2}, 600), parameter("a", {7}, 900)};
  written.more_of_model = {{"buffer_names", pickled_list({pickled_string("buffer")})},
                           {"shared_params", pickled_mapping({{"head", pickled_string("b")}})}};
  const TrainingDump read = open_training_dump(written.write(folder.path()));
  expect_values(*read.source, written.module[0]);
  expect_values(*read.source, written.module[1]);
  expect_values(*read.source, written.groups[0][1]);  // not the rounded one of the module
  DumpedParameter head = written.groups[0][0];
  head.name = "head";
  expect_values(*read.source, head);
  EXPECT_EQ(read.trained, (std::set<std::string>{"a", "b", "c", "head", "scalar"}));
  EXPECT_EQ(read.source->tensors().size(), 7U);
}

TEST(TrainingDumpTest, FrozenWeightsOfStage2AreFragments) {
  const TemporaryFolder folder;
  DeepSpeedDump written = dump(2, 2);
  written.frozen = {parameter("frozen", {2, 3}, 500)};
  const TrainingDump read = open_training_dump(written.write(folder.path()));
  expect_values(*read.source, written.frozen[0]);
  EXPECT_FALSE(read.trained.contains("frozen"));
}

// Nothing is looked up or run.
TEST(TrainingDumpTest, ForeignObjectsAreInert) {
  const TemporaryFolder folder;
  DeepSpeedDump written = dump(2, 1);
  const std::string mark = (folder / "mark").string();
  const std::string scaler = detail::concat(pickled_global("deepspeed.runtime.fp16.loss_scaler", "LossScaler"), ")\x81",
                                            pickled_mapping({{"cur_scale", pickled_int(1)}}), "b");
  const std::string by_hooks =
      detail::concat(pickled_global("collections", "defaultdict"), "(", pickled_global("builtins", "list"), "tR(",
                     pickled_string("k"), pickled_int(1), "u");
  const std::string large = std::string("\x8a\x09") + std::string(9, '\1');
  written.more_of_optimizer = {{"loss_scaler", scaler},
                               {"by_hooks", by_hooks},
                               {"random", large},
                               {"command", pickled_call("posix", "system", pickled_string("touch " + mark))}};
  written.more_of_model = {{"args", pickled_call("argparse", "Namespace", "")}};
  expect_trained(written, open_training_dump(written.write(folder.path())));
  EXPECT_FALSE(fs::exists(mark));
}

TEST(TrainingDumpTest, ATensorOfAnotherClassIsNamed) {
  const TemporaryFolder folder;
  DeepSpeedDump written = dump(2, 1);
  const fs::path place = written.write(folder.path());
  const auto write_with = [&](const std::string& type) {
    PickledStorages storages;
    const std::string plain = storages.vector(numbers(0, 27));
    // _rebuild_from_type_v2(_rebuild_tensor_v2, class, its arguments, attributes)
    const size_t end = pickled_global("torch._utils", "_rebuild_tensor_v2").size();
    const std::string arguments = plain.substr(end, plain.size() - end - 1);
    const std::string tensor = pickled_call("torch._tensor", "_rebuild_from_type_v2",
                                            detail::concat(pickled_global("torch._utils", "_rebuild_tensor_v2"), type,
                                                           arguments, pickled_mapping({{"ds_id", pickled_int(3)}})));
    write_file_atomically(
        place / written.optimizer_name(0),
        torch_file(pickled_root({{"optimizer_state_dict",
                                  pickled_mapping({{"zero_stage", pickled_int(2)},
                                                   {"partition_count", pickled_int(1)},
                                                   {"single_partition_of_fp32_groups", pickled_list({tensor})}})}}),
                   storages.contents()));
  };
  written.groups = {{{"w", {27}, numbers(0, 27)}}};
  write_file_atomically(place / written.model_name(0), written.model_states(0));
  write_with(pickled_global("torch", "Tensor"));
  expect_trained(written, open_training_dump(place));
  write_with(pickled_global("torchao.quantization", "Quantized"));
  EXPECT_ERROR_SAYS(open_training_dump(place),
                    "`optimizer_state_dict.single_partition_of_fp32_groups[0]` is an object, expected a tensor");
}

TEST(TrainingDumpTest, ADamagedByteIsFoundAtTheLatestAtTheEnd) {
  const TemporaryFolder folder;
  const DeepSpeedDump written = dump(2, 1);
  const fs::path place = written.write(folder.path());
  change(place / written.optimizer_name(0), [](std::string& bytes) {
    const float value = 203;
    bytes.at(bytes.find(std::string(reinterpret_cast<const char*>(&value), 4))) ^= 1;
  });
  const TrainingDump read = open_training_dump(place);
  EXPECT_NO_THROW(read.source->read("b"));
  EXPECT_ERROR_SAYS(read.finish(), "record 'data/0' has not the checksum that the archive gives for it");
  const TrainingDump again = open_training_dump(place);
  again.source->read("c");  // another record
  EXPECT_NO_THROW(again.finish());
}

TEST(TrainingDumpTest, SizesThatDoNotAddUpAreNamed) {
  for (const int64_t stage : {2, 3}) {
    const TemporaryFolder folder;
    DeepSpeedDump written = dump(stage, 2);
    const fs::path place = written.write(folder.path());
    const auto write_shapes = [&](const DumpedParameter& last) {
      DeepSpeedDump other = written;
      other.groups[1] = {last};
      for (size_t rank = 0; rank < 2; ++rank)
        write_file_atomically(place / other.model_name(rank), other.model_states(rank));
    };
    write_shapes(parameter("c", {2, 3}, 0));
    EXPECT_ERROR_SAYS(open_training_dump(place), "parameter 'c' [2, 3] would end at element ");
    write_shapes(parameter("c", {0}, 0));
    EXPECT_ERROR_SAYS(open_training_dump(place), stage == 2
                                                     ? "group 1 has 4 elements, its parameters have 0;"
                                                     : "a rank has 15 elements, its shares of the parameters have 13;");
    write_shapes(parameter("b", {2, 2}, 0));
    EXPECT_ERROR_SAYS(open_training_dump(place), "parameter 'b' is there twice");
  }
}

TEST(TrainingDumpTest, FilesOfOtherRunsAreNamed) {
  for (const int64_t stage : {2, 3}) {
    const TemporaryFolder folder;
    const DeepSpeedDump written = dump(stage, 3);
    const fs::path place = written.write(folder.path());
    fs::copy_file(place / written.optimizer_name(2), place / written.optimizer_name(3));
    EXPECT_ERROR_SAYS(open_training_dump(place), "is of a run with 3 ranks (`partition_count`), and 4 files of ranks");
    fs::remove(place / written.optimizer_name(3));
    fs::rename(place / written.optimizer_name(1), folder / "1");
    EXPECT_ERROR_SAYS(open_training_dump(place),
                      "has zero_pp_rank_2_mp_rank_00_optim_states.pt and no file of rank 1;");
    fs::rename(place / written.optimizer_name(2), folder / "2");
    EXPECT_ERROR_SAYS(open_training_dump(place), "is of a run with 3 ranks (`partition_count`), and 1 files of ranks");
    fs::rename(folder / "1", place / written.optimizer_name(1));
    fs::rename(folder / "2", place / ("bf16_" + written.optimizer_name(2)));
    EXPECT_ERROR_SAYS(open_training_dump(place), "which are of two runs; remove those of one");
    fs::rename(place / ("bf16_" + written.optimizer_name(2)), place / written.optimizer_name(2));
    DeepSpeedDump other = dump(stage, 3);
    other.groups[0].pop_back();
    const size_t last = stage == 3 ? 2 : 0;
    write_file_atomically(place / written.model_name(last), other.model_states(last));
    EXPECT_ERROR_SAYS(open_training_dump(place),
                      stage == 3 ? "lists other parameters than the file of rank 0" : "group 0 has 23 elements");
    fs::copy_file(place / written.model_name(last), place / dump(5 - stage, 3).model_name(0));
    EXPECT_ERROR_SAYS(open_training_dump(place), "which are of two runs; remove those of one");
  }
}

TEST(TrainingDumpTest, FilesThatAreNotReadAreNamed) {
  const TemporaryFolder folder;
  const fs::path place = dump(2, 1).write(folder.path());
  for (const auto& [name, what] : std::vector<std::pair<std::string, std::string>>{
           {"mp_rank_01_model_states.pt", "tensor parallelism"},
           {"zero_pp_rank_0_mp_rank_01_optim_states.pt", "tensor parallelism"},
           {"layer_01-model_00-model_states.pt", "pipeline"},
           {"layer_0_expert_3_mp_rank_00_model_states.pt", "mixture of experts"},
           {"expp_rank_0_mp_rank_00_optim_states.pt", "mixture of experts"}}) {
    write_file_atomically(place / name, "x");
    EXPECT_ERROR_SAYS(open_training_dump(place), what);
    EXPECT_ERROR_SAYS(open_training_dump(place), name + ": is of a ");
    fs::remove(place / name);
  }
}

TEST(TrainingDumpTest, RunsThatAreNotReadAreNamed) {
  const auto device = [](const char* name) { return pickled_mapping({{"device", pickled_string(name)}}); };
  for (const auto& [items, what] : std::vector<std::pair<PickledItems, std::string>>{
           {{{"mp_world_size", pickled_int(2)}}, "mp_world_size"},
           {{{"num_experts", pickled_list({pickled_int(8)})}}, "num_experts"},
           {{{"ds_autoep_layers", pickled_list({pickled_mapping({})})}}, "ds_autoep_layers"},
           {with_config("zero_hpz_partition_size", pickled_int(8)), "zero_hpz_partition_size"},
           {with_config("zero_quantized_nontrainable_weights", kTrue), "zero_quantized_nontrainable_weights"},
           {with_config("mics_shard_size", pickled_int(4)), "mics_shard_size"},
           {with_config("zenflow", pickled_mapping({{"topk_ratio", pickled_int(1)}})), "zenflow"},
           {with_config("offload_optimizer", device("nvme")), "offload_optimizer"},
           {with_config("offload_param", device("nvme")), "offload_param"}}) {
    const TemporaryFolder folder;
    DeepSpeedDump written = dump(3, 1);
    written.more_of_model = items;
    EXPECT_ERROR_SAYS(open_training_dump(written.write(folder.path())), "(`" + what + "`), which is not read;");
  }
  for (const PickledItems& items :
       {PickledItems{{"mp_world_size", pickled_int(1)}}, with_config("offload_optimizer", device("cpu")),
        with_config("zero_hpz_partition_size", pickled_int(1)), with_config("mics_shard_size", pickled_int(-1)),
        with_config("round_robin_gradients", kTrue), with_config("zero_quantized_nontrainable_weights", kFalse)}) {
    const TemporaryFolder folder;
    DeepSpeedDump written = dump(3, 1);
    written.more_of_model = items;
    EXPECT_NO_THROW(open_training_dump(written.write(folder.path())));
  }
}

TEST(TrainingDumpTest, OtherStatesAreNamed) {
  const TemporaryFolder folder;
  DeepSpeedDump written = dump(2, 1);
  const fs::path place = written.write(folder.path());
  write_file_atomically(place / written.model_name(0), torch_file(pickled_root({{"module", pickled_mapping({})}}), {}));
  EXPECT_ERROR_SAYS(open_training_dump(place), "says of no parameter that it was trained (`param_shapes`)");
  EXPECT_FALSE(trained_names(place));
  write_file_atomically(place / written.model_name(0), written.model_states(0));
  EXPECT_EQ(trained_names(place)->size(), 4U);
  written.more_of_optimizer = {{"zero_stage", pickled_int(4)}};
  written.write(folder.path());
  EXPECT_ERROR_SAYS(open_training_dump(place), "`optimizer_state_dict` is of ZeRO stage 4, read are 1, 2 and 3");
  written.more_of_optimizer = {{"zero_stage", pickled_int(3)}, {"fp32_flat_groups", pickled_list({})}};
  written.write(folder.path());
  EXPECT_ERROR_SAYS(open_training_dump(place), "its optimizer states are of ZeRO stage 3, its model states of stage 1");
  written.more_of_optimizer = {{"partition_count", pickled_list({pickled_int(1), pickled_int(2)})}};
  written.write(folder.path());
  EXPECT_ERROR_SAYS(open_training_dump(place), "`optimizer_state_dict.partition_count` differs from group to group");
  fs::remove(place / written.optimizer_name(0));
  EXPECT_ERROR_SAYS(open_training_dump(place), "has no ..._optim_states.pt, which hold the trained weights;");
}

// The BF16 optimizer says no stage and keeps what its vectors are filled up with.
TEST(TrainingDumpTest, ReadsTheBf16Optimizer) {
  const TemporaryFolder folder;
  DeepSpeedDump written = dump(1, 2);
  written.type = "bf16_";
  written.more_of_optimizer = {{"zero_stage", "N"}};
  const fs::path place = written.write(folder.path());
  expect_trained(written, open_training_dump(place));
}

void write_universal(const fs::path& place, const DumpedParameter& each, bool is_flat) {
  PickledStorages storages;
  const std::string tensor = is_flat ? storages.vector(each.values) : storages.tensor(each.values, each.shape);
  fs::create_directories(place / "zero" / each.name);
  write_file_atomically(
      place / "zero" / each.name / "fp32.pt",
      torch_file(is_flat ? "\x80\x02" + tensor + "." : pickled_root({{"param", tensor}, {"cat_dim", pickled_int(0)}}),
                 storages.contents()));
}

TEST(TrainingDumpTest, ReadsUniversalCheckpoints) {
  for (const int64_t stage : {2, 3}) {
    const TemporaryFolder folder;
    DeepSpeedDump written = dump(stage, 2);
    written.frozen = {parameter("frozen", {5, 3}, 500)};
    const fs::path place = written.write(folder.path());
    for (size_t rank = 0; rank < 2; ++rank) fs::remove(place / written.optimizer_name(rank));
    for (const auto& group : written.groups)
      for (const DumpedParameter& each : group) write_universal(place, each, stage == 3);
    const TrainingDump read = open_training_dump(place);
    expect_trained(written, read);
    expect_values(*read.source, written.frozen[0]);
    write_universal(place, parameter("c", {2, 4}, 0), stage == 3);
    EXPECT_ERROR_SAYS(open_training_dump(place), "fp32.pt: has 8 elements, parameter 'c' [2, 2] has 4;");
    fs::remove_all(place / "zero" / "c");
    EXPECT_ERROR_SAYS(open_training_dump(place), "c/fp32.pt: is not there");
  }
}

// DeepSpeed makes them from param_slice_mappings, which is in another order then.
TEST(TrainingDumpTest, RefusesUniversalCheckpointsThatAreMixedUp) {
  const TemporaryFolder folder;
  DeepSpeedDump written = dump(2, 1);
  written.more_of_model = with_config("round_robin_gradients", kTrue);
  const fs::path place = written.write(folder.path());
  EXPECT_NO_THROW(open_training_dump(place));
  fs::remove(place / written.optimizer_name(0));
  fs::create_directories(place / "zero");
  EXPECT_ERROR_SAYS(open_training_dump(place), "is a universal checkpoint of a run with `round_robin_gradients`");
}

TEST(TrainingDumpTest, ReadsOneTensorAtATime) {
  const TemporaryFolder folder;
  DeepSpeedDump written;
  written.stage = 3;
  written.world_size = 4;
  written.groups.emplace_back();
  for (int i = 0; i < 32; ++i) {
    std::string name = "w";
    written.groups[0].push_back(parameter(name.append(std::to_string(i)), {64, 64}, static_cast<float>(i)));
  }
  const TrainingDump read = open_training_dump(written.write(folder.path()));
  const CountedMemory memory;
  for (const auto& [name, info] : read.source->tensors()) read.source->read(name);
  read.finish();
  EXPECT_LE(memory.peak(), int64_t{64 * 64 * 4} + 64);
}

// For hici extract: of no tensor the whole.
TEST(TrainingDumpTest, GivesPiecesFromFileToFile) {
  for (const int64_t stage : {2, 3}) {
    const TemporaryFolder folder;
    DeepSpeedDump written = dump(stage, 3);
    written.groups[1] = {parameter("c", {300, 1000}, 0)};  // more than a piece
    written.frozen = {parameter("frozen", {2, 3}, 500)};
    const TrainingDump read = open_training_dump(written.write(folder.path()));
    size_t pieces = 0;
    for (const auto& [name, info] : read.source->tensors()) {
      std::string bytes;
      read.source->read_pieces(name, [&](const void* piece, size_t size) {
        bytes.append(static_cast<const char*>(piece), size);
        ++pieces;
      });
      const std::string content = read.source->content_of(name);
      const at::Tensor whole = read.source->read(name);
      EXPECT_EQ(bytes, std::string(static_cast<const char*>(whole.const_data_ptr()), whole.nbytes())) << name;
      EXPECT_EQ(content, read.source->content_of(name)) << name;
    }
    EXPECT_GT(pieces, read.source->tensors().size());
    EXPECT_NO_THROW(read.finish());
  }
}

TEST(TrainingDumpTest, LatestNamesTheFolder) {
  const TemporaryFolder folder;
  EXPECT_FALSE(find_dump_folder(folder.path()));
  EXPECT_EQ(trace_of_deepspeed(folder.path()), "");
  write_file_atomically(folder / "latest", "checkpoint-500");  // of another program
  EXPECT_EQ(trace_of_deepspeed(folder.path()), "");
  fs::create_directories(folder / "global_step9_universal");
  EXPECT_EQ(find_dump_folder(folder.path()), folder / "global_step9_universal");
  fs::create_directories(folder / "global_step9");
  EXPECT_EQ(find_dump_folder(folder.path()), folder / "global_step9");
  fs::create_directories(folder / "global_step10");
  EXPECT_ERROR_SAYS(find_dump_folder(folder.path()), "holds global_step9, global_step10 and no file `latest`");
  write_file_atomically(folder / "latest", "global_step10\n");
  EXPECT_EQ(find_dump_folder(folder.path()), folder / "global_step10");
  write_file_atomically(folder / "latest", "../global_step10");
  EXPECT_ERROR_SAYS(find_dump_folder(folder.path()), "no file `latest` that says which");
  fs::create_directories(folder / "pytorch_model");  // as accelerate calls it
  write_file_atomically(folder / "pytorch_model/mp_rank_00_model_states.pt", "x");
  write_file_atomically(folder / "latest", "pytorch_model");
  EXPECT_EQ(find_dump_folder(folder.path()), folder / "pytorch_model");
}

TEST(TrainingDumpTest, AWholeModelIsNoAdapter) {
  const TemporaryFolder folder;
  dump(2, 2).write(folder.path());
  ExtractRequest request;
  request.checkpoint = folder.path();
  request.output = folder / "out";
  EXPECT_ERROR_SAYS(extract_adapter(request),
                    "all its parameters were trained; its zero_to_fp32.py makes a model for `base_model` of it");
}

}  // namespace
}  // namespace hici::io
