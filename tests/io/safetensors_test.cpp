// SPDX-License-Identifier: Apache-2.0
#include "hici/io/safetensors.h"

#include "hici/base/json.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>

namespace hici::io {
namespace {

using nlohmann::json;
using testing::TemporaryFolder;

// A file of any header and any data: what a hostile or damaged one looks like.
std::string file_of(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string out(8, '\0');
  std::memcpy(out.data(), &length, 8);
  return out + header + std::string(data_bytes, '\1');
}

std::string error_of_header(const std::string& header, size_t data_bytes = 8) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "m.safetensors", file_of(header, data_bytes));
  const std::string message = testing::error_message([&] { SafetensorsFile(folder / "m.safetensors"); });
  EXPECT_TRUE(testing::is_one_clean_line(message)) << message;
  return message;
}

std::string entry(const std::string& dtype, const std::string& shape, int64_t begin, int64_t end) {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":[)" + std::to_string(begin) + "," +
         std::to_string(end) + "]}";
}

TEST(SafetensorsTest, EveryTypeRoundTrips) {
  const TemporaryFolder folder;
  std::vector<TensorToWrite> tensors;
  std::map<std::string, at::Tensor> wanted;
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt, at::kShort,
                                     at::kChar, at::kByte, at::kBool}) {
    const at::Tensor tensor = at::arange(-3, 12).view({3, 5}).to(dtype);
    wanted.emplace(shown_dtype(dtype), tensor);
    tensors.emplace_back(shown_dtype(dtype), tensor);
  }
  tensors.emplace_back("scalar", at::scalar_tensor(2.5));
  write_safetensors(folder / "m.safetensors", tensors, {{"note", "x"}});
  const SafetensorsFile file(folder / "m.safetensors");
  EXPECT_EQ(file.metadata().at("format"), "pt");
  EXPECT_EQ(file.metadata().at("note"), "x");
  for (const auto& [name, tensor] : wanted) {
    EXPECT_EQ(file.info(name).dtype, tensor.scalar_type());
    EXPECT_TRUE(at::equal(file.read(name), tensor)) << name;
    EXPECT_TRUE(at::equal(file.read(name, at::kDouble), tensor.to(at::kDouble))) << name;
  }
  EXPECT_EQ(file.read("scalar").item<float>(), 2.5F);
  EXPECT_EQ(file.bytes_of("BOOL").size(), 15U);
}

TEST(SafetensorsTest, ConvertsInPiecesExactly) {
  const TemporaryFolder folder;
  const at::Tensor tensor = at::randn({3, (1 << 20) / 2 + 17});  // more than one piece, and a rest
  write_safetensors(folder / "m.safetensors", {{"t", tensor}});
  const SafetensorsFile file(folder / "m.safetensors");
  EXPECT_TRUE(at::equal(file.read("t", at::kBFloat16), tensor.to(at::kBFloat16)));
}

// It is copied and hashed in pieces.
TEST(SafetensorsTest, TheHashOfALargeTensorIsThatOfItsBytes) {
  const TemporaryFolder folder;
  const at::Tensor tensor = at::arange((int64_t{1} << 16) + 13, at::kInt);  // two pieces and a rest
  write_safetensors(folder / "m.safetensors", {{"t", tensor}});
  const SafetensorsFile file(folder / "m.safetensors");
  EXPECT_TRUE(at::equal(file.read("t"), tensor));
  ContentHash hash;
  hash.update(tensor.const_data_ptr(), tensor.nbytes());
  EXPECT_EQ(file.content_of("t"), content_text(file.info("t"), hash));
  const SafetensorsHashes hashes = hash_safetensors(folder / "m.safetensors", [](const void*, size_t) {});
  EXPECT_EQ(hashes.tensors.at("t"), hash.hex_digest());
}

TEST(SafetensorsTest, WritesViewsAndLoadsLazily) {
  const TemporaryFolder folder;
  const at::Tensor tensor = at::arange(12, at::kFloat).view({3, 4});
  int loads = 0;
  write_safetensors(folder / "m.safetensors", {{"t", tensor.t()}, {"half", at::kHalf, {3, 4}, [&] {
                                                                     ++loads;
                                                                     return tensor;
                                                                   }}});
  EXPECT_EQ(loads, 1);
  const SafetensorsFile file(folder / "m.safetensors");
  EXPECT_TRUE(at::equal(file.read("t"), tensor.t()));
  EXPECT_TRUE(at::equal(file.read("half"), tensor.to(at::kHalf)));
}

TEST(SafetensorsTest, RefusesToWriteEmptyOrWrongTensors) {
  const TemporaryFolder folder;
  const fs::path path = folder / "m.safetensors";
  EXPECT_ERROR_SAYS(write_safetensors(path, {{"t", at::empty({0, 4})}}),
                    "m.safetensors: tensor 't' is empty, shape [0, 4]");
  EXPECT_ERROR_SAYS(write_safetensors(path, {{"t", at::ones({2})}, {"t", at::ones({2})}}),
                    "tensor 't' is written twice");
  EXPECT_ERROR_SAYS(write_safetensors(path, {{"t", at::kFloat, {2}, [] { return at::ones({3}); }}}),
                    "tensor 't' is [3], promised was [2]");
  EXPECT_TRUE(fs::is_empty(folder.path()));
}

TEST(SafetensorsTest, ChecksTheHeaderItself) {
  EXPECT_EQ(error_of_header(R"({"a":)" + entry("F32", "[2]", 0, 8) + "}"), "nothing was thrown");
  EXPECT_NE(error_of_header("[]").find("header does not start with '{'"), std::string::npos);
  EXPECT_NE(error_of_header("{\"a\":").find("not JSON"), std::string::npos);
  EXPECT_NE(error_of_header(R"({"a":1})").find("tensor 'a': is 1, expected a JSON object"), std::string::npos);
  EXPECT_NE(error_of_header(R"({"a":)" + entry("F32", "[1]", 0, 4) + R"(,"a":)" + entry("F32", "[1]", 4, 8) + "}")
                .find("key 'a' occurs twice"),
            std::string::npos);
  EXPECT_NE(error_of_header(R"({"__metadata__":{"a":1}})", 0).find("__metadata__: 'a' is 1, expected a string"),
            std::string::npos);
  EXPECT_NE(error_of_header(R"({"a":)" + entry("F4", "[2]", 0, 8) + "}")
                .find("type 'F4' is not supported; supported: F64, F32"),
            std::string::npos);
  EXPECT_NE(error_of_header(R"({"a":{"dtype":"F32","shape":[2]}})").find("has no 'data_offsets'"), std::string::npos);
  EXPECT_NE(error_of_header(R"({")" + std::string(1025, 'n') + R"(":)" + entry("F32", "[2]", 0, 8) + "}")
                .find("tensor name of 1025 bytes"),
            std::string::npos);
}

TEST(SafetensorsTest, ChecksShapesAndOffsets) {
  const auto one = [](const std::string& text) { return R"({"a":)" + text + "}"; };
  EXPECT_NE(error_of_header(one(entry("F32", "[3]", 0, 8))).find("shape [3] of F32 does not fill its 8 bytes"),
            std::string::npos);
  EXPECT_NE(error_of_header(one(entry("F32", "[-1]", 0, 8))).find("shape holds -1"), std::string::npos);
  EXPECT_NE(error_of_header(one(entry("F32", "[1,1,1,1,1,1,1,1,2]", 0, 8))).find("expected a list of at most 8 sizes"),
            std::string::npos);
  EXPECT_NE(error_of_header(one(entry("F32", "[4294967296,4294967296,4294967296]", 0, 0)), 0).find("does not fill"),
            std::string::npos);
  EXPECT_NE(
      error_of_header(one(entry("F32", "[0,4611686018427387904,4611686018427387904]", 0, 0)), 0).find("does not fill"),
      std::string::npos);
  EXPECT_NE(error_of_header(one(entry("F32", "[2]", 8, 0))).find("run backwards"), std::string::npos);
  EXPECT_NE(error_of_header(one(entry("F32", "[4]", 0, 16)))
                .find("truncated, header promises data up to byte 16, file has 8"),
            std::string::npos);
  EXPECT_NE(error_of_header(one(entry("F32", "[1]", 4, 8))).find("starts at byte 4 of the data, expected 0 (hole)"),
            std::string::npos);
  EXPECT_NE(error_of_header(one(entry("F32", "[1]", 0, 4))).find("tensors end at byte 4 of the data, file has 8"),
            std::string::npos);
  EXPECT_NE(error_of_header(R"({"a":)" + entry("F32", "[2]", 0, 8) + R"(,"b":)" + entry("F32", "[1]", 4, 8) + "}")
                .find("(overlap)"),
            std::string::npos);
  EXPECT_NE(
      error_of_header(one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,18446744073709551615]})")).find("truncated"),
      std::string::npos);
}

TEST(SafetensorsTest, NamesATruncatedFile) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "m.safetensors", "abc");
  EXPECT_ERROR_SAYS(SafetensorsFile(folder / "m.safetensors"), "3 bytes, too short for a safetensors file");
  write_file_atomically(folder / "m.safetensors", std::string(8, '\xff'));
  EXPECT_ERROR_SAYS(SafetensorsFile(folder / "m.safetensors"),
                    "header of 18446744073709551615 bytes, more than the 100000000 allowed");
  write_safetensors(folder / "m.safetensors", {{"t", at::ones({1000})}});
  for (const uint64_t size : {uint64_t{9}, fs::file_size(folder / "m.safetensors") - 1}) {
    fs::resize_file(folder / "m.safetensors", size);
    EXPECT_ERROR_SAYS(SafetensorsFile(folder / "m.safetensors"), "truncated, header promises");
    write_safetensors(folder / "m.safetensors", {{"t", at::ones({1000})}});
  }
}

TEST(SafetensorsTest, AFileThatShrinksIsAnError) {
  const TemporaryFolder folder;
  write_safetensors(folder / "m.safetensors", {{"t", at::ones({100'000})}});
  const SafetensorsFile file(folder / "m.safetensors");
  fs::resize_file(folder / "m.safetensors", 5000);
  EXPECT_ERROR_SAYS(file.read("t"), "now has 5000; another process is writing it");
}

TEST(SafetensorsTest, ABoolThatIsNeitherIsTrue) {
  const TemporaryFolder folder;
  write_file_atomically(folder / "m.safetensors",
                        file_of(R"({"a":)" + entry("BOOL", "[2]", 0, 2) + "}", 0) + std::string("\0\7", 2));
  const at::Tensor read = SafetensorsFile(folder / "m.safetensors").read("a");
  EXPECT_FALSE(read[0].item<bool>());
  EXPECT_TRUE(read[1].item<bool>());
}

}  // namespace
}  // namespace hici::io
