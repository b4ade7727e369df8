// SPDX-License-Identifier: Apache-2.0
#include "hici/io/torch/torch_pickle.h"

#include "support/error_message.h"
#include "support/torch_archive.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

namespace hici::io {
namespace {

using namespace testing;  // NOLINT: the makers of archives

constexpr const char* kName = "x.bin";

std::string floats(const std::vector<float>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

const std::string& six() {
  static const std::string bytes = floats({0, 1, 2, 3, 4, 5});
  return bytes;
}

// a is [2, 3], t its transposed view, tied shares its storage.
std::vector<PickledView> views() {
  return {{.name = "a", .elements = 6, .sizes = {2, 3}, .strides = {3, 1}},
          {.name = "t", .elements = 6, .sizes = {3, 2}, .strides = {1, 3}},
          {.name = "row", .elements = 6, .offset = 3, .sizes = {3}, .strides = {1}},
          {.name = "repeated", .elements = 6, .offset = 2, .sizes = {4}, .strides = {0}},
          {.name = "scalar", .elements = 6, .offset = 5},
          {.name = "none", .elements = 6, .sizes = {0, 7}, .strides = {7, 1}}};
}

std::string archive() { return zip_archive(torch_records(pickled_state_dict(views()), {six()})); }

void read_all(const std::string& bytes) {
  const TorchFile file(bytes, kName);
  for (const auto& [name, ignored] : file.tensors()) file.read(name);
}

void read_pickle(const std::string& pickle) { read_pickled_state_dict(pickle, kName); }

std::string with_record(const std::string& name, const ZippedRecord& by) {
  std::vector<ZippedRecord> records = torch_records(pickled_state_dict(views()), {six()});
  for (ZippedRecord& record : records)
    if (record.name == name) record = by;
  return zip_archive(records);
}

TEST(TorchFileTest, ReadsViewsOfOneStorage) {
  const std::string bytes = archive();
  const TorchFile file(bytes, kName);
  const at::Tensor a = at::arange(6, at::kFloat).view({2, 3});
  EXPECT_TRUE(file.read("a").equal(a));
  EXPECT_TRUE(file.read("t").equal(a.t()));
  EXPECT_TRUE(file.read("row").equal(a[1]));
  EXPECT_TRUE(file.read("repeated").equal(at::full({4}, 2.0F)));
  EXPECT_TRUE(file.read("scalar").equal(at::scalar_tensor(5.0F)));
  EXPECT_EQ(file.read("none").sizes(), at::IntArrayRef({0, 7}));
  EXPECT_EQ(file.read("row").storage().nbytes(), 3 * sizeof(float)) << "the view keeps the whole storage";
}

// LibTorch's reader is built without checksums: torch.load itself returns wrong numbers here.
TEST(TorchFileTest, NamesTheRecordWithAFlippedBit) {
  for (const auto& [content, record] : std::vector<std::pair<std::string, std::string>>{
           {six(), "data/0"}, {"little", "byteorder"}, {"3\n", "version"}, {"_rebuild", "data.pkl"}}) {
    std::string bytes = archive();
    bytes.at(bytes.find(content)) ^= 1;
    EXPECT_ERROR_SAYS(read_all(bytes), "x.bin: record '" + record + "' has not the checksum");
  }
}

TEST(TorchFileTest, RefusesEveryTruncation) {
  const std::string bytes = archive();
  for (size_t size = 0; size < bytes.size(); ++size) EXPECT_ERROR_SAYS(read_all(bytes.substr(0, size)), "x.bin: ");
}

TEST(TorchFileTest, RefusesWhatTorchSaveDoesNotWrite) {
  const std::string name = "archive/data/0";
  EXPECT_ERROR_SAYS(read_all(with_record(name, {.name = name, .content = six(), .method = 8})),
                    "record 'data/0' is compressed (method 8)");
  EXPECT_ERROR_SAYS(read_all(with_record(name, {.name = name, .content = six(), .flags = 1})), "is encrypted");
  EXPECT_ERROR_SAYS(read_all(with_record(name, {.name = "archive/version", .content = six()})), "is there twice");
  // LibTorch compares names without regard to case, and might fetch the other one.
  EXPECT_ERROR_SAYS(read_all(with_record(name, {.name = "archive/VERSION", .content = six()})), "is there twice");
  EXPECT_ERROR_SAYS(read_all(with_record(name, {.name = "other/data/0", .content = six()})),
                    "does not lie in the one folder");
  EXPECT_ERROR_SAYS(read_all(with_record(name, {.name = name, .content = six(), .more_bytes_promised = 1})),
                    "promises 25 bytes, 24 are there");
  EXPECT_ERROR_SAYS(read_all(with_record("archive/byteorder", {.name = "archive/byteorder", .content = "big"})),
                    "written with byte order 'big'");
  EXPECT_ERROR_SAYS(read_all(with_record("archive/byteorder", {.name = "archive/constants.pkl", .content = "x"})),
                    "is a TorchScript archive");
  EXPECT_ERROR_SAYS(read_all("\x80\x02garbage"), "written in torch's old format (before 1.6)");
}

// Found by fuzz_torch_file: LibTorch's reader then hands out memory that it never filled.
TEST(TorchFileTest, RefusesRecordsMarkedAsFolders) {
  const std::string name = "archive/data/0";
  EXPECT_ERROR_SAYS(read_all(with_record(name, {.name = name, .content = six(), .attributes = 0x10})), "is a folder");
}

// Found by fuzz_torch_file: LibTorch leaks its reader when it refuses the version.
TEST(TorchFileTest, RefusesOtherVersions) {
  EXPECT_ERROR_SAYS(read_all(with_record("archive/version", {.name = "archive/version", .content = "x\n"})),
                    "x.bin: archive of version 'x', this program reads 1 to ");
  EXPECT_ERROR_SAYS(read_all(with_record("archive/version", {.name = "archive/version", .content = "11\n"})),
                    "x.bin: archive of version '11'");
  EXPECT_ERROR_SAYS(read_all(with_record("archive/version", {.name = "archive/note", .content = "3\n"})),
                    "x.bin: has no record 'version'");
}

TEST(TorchFileTest, RefusesTensorsThatLeaveTheirStorage) {
  for (const PickledView& view : std::vector<PickledView>{
           {.name = "w", .elements = 7, .sizes = {7}, .strides = {1}},
           {.name = "w", .elements = 6, .sizes = {7}, .strides = {1}},
           {.name = "w", .elements = 6, .offset = -1, .sizes = {2}, .strides = {1}},
           {.name = "w", .elements = 6, .offset = 7, .sizes = {0}, .strides = {1}},
           {.name = "w", .elements = 6, .sizes = {2}, .strides = {-1}},
           {.name = "w", .elements = 6, .sizes = {2, 2}, .strides = {int64_t{1} << 62, int64_t{1} << 62}},
           {.name = "w", .elements = 6, .sizes = {int64_t{1} << 40}, .strides = {0}},
           {.name = "w", .key = "1", .elements = 6, .sizes = {6}, .strides = {1}},
           {.name = "w", .key = "../version", .elements = 6, .sizes = {6}, .strides = {1}}})
    EXPECT_ERROR_SAYS(read_all(zip_archive(torch_records(pickled_state_dict({view}), {six()}))), "x.bin: tensor 'w'");
}

TEST(PickleReaderTest, NamesTheClassOrTheOpcode) {
  EXPECT_ERROR_SAYS(read_pickle(pickled_dict({{"w", pickled_global("os", "system")}})),
                    "holds an object of class 'os.system'");
  EXPECT_ERROR_SAYS(read_pickle("\x80\x02})\x81."), "uses opcode 0x81 (NEWOBJ)");
  EXPECT_ERROR_SAYS(read_pickle("\x80\x02}\x01."), "uses opcode 0x01,");
  EXPECT_ERROR_SAYS(read_pickle("\x80\x02}.x"), "goes on after its end");
  EXPECT_ERROR_SAYS(read_pickle(pickled_dict({{"epoch", pickled_int(3)}})), "entry 'epoch' is an integer");
}

TEST(PickleReaderTest, BoundsNamesRanksAndKeys) {
  const auto refused = [](const PickledView& view, const std::string& words) {
    EXPECT_ERROR_SAYS(read_pickle(pickled_state_dict({view})), words);
  };
  refused({.name = std::string(1025, 'n')}, "tensor name of 1025 bytes, expected 1 to 1024");
  refused({.name = ""}, "tensor name of 0 bytes");
  refused({.name = "w", .key = std::string(65, '0')}, "names a storage by 65 characters");
  refused({.name = "w", .sizes = std::vector<int64_t>(9, 1)}, "holds a tensor of 9 dimensions");
  refused({.name = "w", .sizes = {1}}, "unequal sizes and strides");
  EXPECT_ERROR_SAYS(read_pickle(pickled_state_dict({{.name = "w"}, {.name = "w"}})), "tensor 'w' is there twice");
}

// torch.save notes on a tensor that its values are the negative of what is stored; without looking there the reader
// gave them the wrong sign.
TEST(PickleReaderTest, RefusesNegatedViews) {
  const std::string metadata = detail::concat("}", pickled_string("neg"), "\x88s");
  EXPECT_ERROR_SAYS(read_pickle(pickled_state_dict({{.name = "w", .more_arguments = metadata}})), "negated");
  EXPECT_EQ(read_pickled_state_dict(pickled_state_dict({{.name = "w", .more_arguments = "}"}}), kName).size(), 1U);
}

// One tuple of many items, called with again and again: each call used to copy all of it, which took hours.
TEST(PickleReaderTest, RefusesCallsWithTooManyArguments) {
  const std::string rebuild = pickled_global("torch._utils", "_rebuild_tensor_v2");
  EXPECT_ERROR_SAYS(read_pickle(detail::concat("\x80\x02", rebuild, "(", std::string(9, 'N'), "tR.")),
                    "calls with 9 arguments");
}

TEST(PickleReaderTest, BoundsMemoAndStack) {
  EXPECT_ERROR_SAYS(read_pickle("\x80\x02}r\xff\xff\xff\xff."), "remembers value 4294967295");
  EXPECT_ERROR_SAYS(read_pickle("\x80\x02h\x05."), "recalls value 5");
  EXPECT_ERROR_SAYS(read_pickle(std::string(2 << 20, '(')), "sets more than 1048576 marks");
  EXPECT_ERROR_SAYS(read_pickle(std::string(2 << 20, ']')), "stacks more than 1048576 values");
}

}  // namespace
}  // namespace hici::io
