// SPDX-License-Identifier: Apache-2.0
#include "hici/base/error.h"
#include "hici/io/gguf/file.h"
#include "hici/io/gguf/tokenizer_kind.h"
#include "hici/io/gguf/vocabulary.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cstring>

namespace hici::io::gguf {
namespace {

using nlohmann::json;
using testing::TemporaryFolder;

constexpr size_t kMost = size_t{1} << 20;

template <typename T>
std::string raw(T value) {
  std::string out(sizeof value, '\0');
  std::memcpy(out.data(), &value, sizeof value);
  return out;
}

std::string text(const std::string& value) { return raw(uint64_t{value.size()}) + value; }

TensorToWrite tensor_of(const std::string& name, TensorType type, const at::Tensor& numbers) {
  return {name, type, numbers.sizes().vec(), [numbers] { return numbers; }};
}

// As the specification has it, written by hand.
TEST(GgufFileTest, WritesTheFormat) {
  const TemporaryFolder folder;
  const Metadata metadata{{"a", uint32_t{7}},
                          {"b", 1.5F},
                          {"c", true},
                          {"d", std::string("xyz")},
                          {"e", std::vector<std::string>{"p", ""}},
                          {"f", std::vector<int32_t>{-1, 2}}};
  const std::vector<TensorToWrite> tensors{
      tensor_of("one", TensorType::kF32, at::tensor({1.0F, 2.0F, 3.0F})),
      tensor_of("two", TensorType::kF16, at::tensor({1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F}).view({3, 2}))};
  write_file(folder / "m.gguf", metadata, tensors);
  std::string wanted = "GGUF" + raw(uint32_t{3}) + raw(uint64_t{2}) + raw(uint64_t{6});
  wanted += text("a") + raw(uint32_t{4}) + raw(uint32_t{7});
  wanted += text("b") + raw(uint32_t{6}) + raw(1.5F);
  wanted += text("c") + raw(uint32_t{7}) + '\1';
  wanted += text("d") + raw(uint32_t{8}) + text("xyz");
  wanted += text("e") + raw(uint32_t{9}) + raw(uint32_t{8}) + raw(uint64_t{2}) + text("p") + text("");
  wanted += text("f") + raw(uint32_t{9}) + raw(uint32_t{5}) + raw(uint64_t{2}) + raw(int32_t{-1}) + raw(int32_t{2});
  wanted += text("one") + raw(uint32_t{1}) + raw(uint64_t{3}) + raw(uint32_t{0}) + raw(uint64_t{0});
  wanted += text("two") + raw(uint32_t{2}) + raw(uint64_t{2}) + raw(uint64_t{3}) + raw(uint32_t{1}) + raw(uint64_t{32});
  wanted.append((32 - wanted.size() % 32) % 32, '\0');
  wanted += raw(1.0F) + raw(2.0F) + raw(3.0F) + std::string(20, '\0');
  for (const int half : {0x3C00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600}) wanted += raw(static_cast<uint16_t>(half));
  wanted.append(20, '\0');
  EXPECT_EQ(read_file(folder / "m.gguf", kMost), wanted);
  EXPECT_EQ(file_bytes(metadata, tensors), wanted.size());

  const File file(folder / "m.gguf");
  EXPECT_EQ(file.metadata(), metadata);
  ASSERT_EQ(file.tensors().size(), 2U);
  EXPECT_TRUE(at::equal(file.read(file.tensors()[1].second), at::arange(1, 7).view({3, 2}).to(at::kFloat)));
}

TEST(GgufFileTest, EveryTypeRoundTripsInPieces) {
  const TemporaryFolder folder;
  at::manual_seed(1);
  const at::Tensor numbers = at::randn({3000, 384}).to(at::kBFloat16);  // more than one piece
  std::vector<TensorToWrite> tensors;
  for (const auto& type : names_of(TensorType{}).all) tensors.push_back(tensor_of(type.name, type.value, numbers));
  write_file(folder / "m.gguf", {}, tensors);
  const File file(folder / "m.gguf");
  for (const auto& [name, stored] : file.tensors()) {
    const at::Tensor excess =
        (file.read(stored) - numbers.to(at::kFloat)).abs() - rounding_error(stored.type, numbers.to(at::kFloat));
    EXPECT_LE(excess.max().item<float>(), 0) << name;
    const std::vector<std::byte> whole = encode(stored.type, numbers);
    EXPECT_TRUE(at::equal(file.read(stored), decode(stored.type, whole.data(), stored.shape))) << name;
  }
}

TEST(GgufFileTest, RefusesWhatTheFormatDoesNotHave) {
  const TemporaryFolder folder;
  const at::Tensor rows = at::ones({2, 48});
  const auto error = [&](const std::vector<TensorToWrite>& tensors) {
    const std::string message = testing::error_message([&] { write_file(folder / "m.gguf", {}, tensors); });
    EXPECT_TRUE(testing::is_one_clean_line(message)) << message;
    EXPECT_FALSE(fs::exists(folder / "m.gguf"));
    return message;
  };
  EXPECT_NE(error({tensor_of("x", TensorType::kQ8_0, rows)}).find("has rows of 48, and Q8_0 has blocks of 32"),
            std::string::npos);
  EXPECT_NE(error({tensor_of("x", TensorType::kF32, rows), tensor_of("x", TensorType::kF32, rows)}).find("twice"),
            std::string::npos);
  EXPECT_NE(error({tensor_of(std::string(64, 'x'), TensorType::kF32, rows)}).find("64 bytes"), std::string::npos);
  EXPECT_NE(error({tensor_of("x", TensorType::kF32, at::ones({0, 3}))}).find("[0, 3]"), std::string::npos);
  EXPECT_NE(error({{"x", TensorType::kF32, {2, 2}, [&] { return rows; }}}).find("promised was [2, 2]"),
            std::string::npos);
  EXPECT_NE(error({tensor_of("x", TensorType::kQ8_0, at::full({1, 32}, 1e7))}).find("which Q8_0 cannot hold"),
            std::string::npos);
}

TEST(GgufFileTest, ADamagedFileIsOneLine) {
  const TemporaryFolder folder;
  write_file(folder / "m.gguf", {{"a", std::vector<std::string>{"p", "q"}}, {"b", true}},
             {tensor_of("x", TensorType::kQ8_0, at::ones({2, 64}))});
  const std::string whole = read_file(folder / "m.gguf", kMost);
  const size_t padding = 160 - 4 * 34;  // behind the last tensor, which nobody reads
  for (size_t size = 0; size < whole.size() - padding; ++size) {
    write_file_atomically(folder / "cut.gguf", whole.substr(0, size));
    EXPECT_ERROR_SAYS(File(folder / "cut.gguf"), "is no GGUF file as hici writes it");
  }
}

// Rounding as quantize_row_q8_0_ref has it: halves away from zero, and the numbers by the scale before its own
// rounding.
TEST(GgufQ8Test, BlocksAreThoseOfGgml) {
  at::Tensor numbers = at::zeros({2, 32});
  float* x = numbers.mutable_data_ptr<float>();
  x[0] = -127;  // scale 1
  x[1] = 0.5F;
  x[2] = -2.5F;
  x[3] = 2.4F;
  const std::vector<std::byte> bytes = encode(TensorType::kQ8_0, numbers);
  ASSERT_EQ(bytes.size(), 68U);
  EXPECT_EQ(static_cast<int>(bytes[0]), 0x00);
  EXPECT_EQ(static_cast<int>(bytes[1]), 0x3C);
  const auto number = [&](size_t i) { return static_cast<int>(static_cast<int8_t>(bytes[2 + i])); };
  EXPECT_EQ(number(0), -127);
  EXPECT_EQ(number(1), 1);
  EXPECT_EQ(number(2), -3);
  EXPECT_EQ(number(3), 2);
  for (size_t i = 34; i < 68; ++i) EXPECT_EQ(static_cast<int>(bytes[i]), 0) << i;  // a block of zeros

  const std::vector<std::byte> tiny = encode(TensorType::kQ8_0, at::full({1, 32}, 1e-39));
  EXPECT_TRUE(at::equal(decode(TensorType::kQ8_0, tiny.data(), {1, 32}), at::zeros({1, 32})));
}

json byte_level_tokenizer() {
  return json::parse(R"({"added_tokens": [], "normalizer": null, "decoder": {"type": "ByteLevel"},
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
              "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
              "vocab": {"a": 0, "b": 1, "ab": 4}, "merges": [["a", "b"]]}})");
}

TEST(GgufTokenizerTest, HolesAndMissingRowsAreUnusedTokens) {
  json tokenizer = byte_level_tokenizer();
  tokenizer["model"]["vocab"]["[UNUSED3]"] = 2;
  const TokenizerKind kind = tokenizer_kind(tokenizer, "t");
  EXPECT_EQ(kind.model, "gpt2");
  EXPECT_EQ(kind.pre, "gpt-2");
  const Vocabulary vocabulary = vocabulary_of(tokenizer, kind, 6, "t");
  const std::vector<std::string> tokens{"a", "b", "[UNUSED3]", "[UNUSED3]_", "ab", "[UNUSED5]"};
  EXPECT_EQ(vocabulary.tokens, tokens);
  EXPECT_EQ(vocabulary.types, (std::vector<int32_t>{1, 1, 1, 5, 1, 5}));
  EXPECT_EQ(vocabulary.merges, std::vector<std::string>{"a b"});
}

TEST(GgufTokenizerTest, PartsOfAModelThatLlamaCppLacksAreNamed) {
  const auto error = [](const json& change) {
    json tokenizer = byte_level_tokenizer();
    tokenizer.merge_patch(change);
    return testing::error_message([&] { vocabulary_of(tokenizer, tokenizer_kind(tokenizer, "t"), 6, "t"); });
  };
  EXPECT_EQ(error(json::object()), "nothing was thrown");
  EXPECT_NE(error({{"model", {{"type", "Unigram"}}}}).find("its model is \"Unigram\""), std::string::npos);
  EXPECT_NE(error({{"model", {{"dropout", 0.1}}}}).find("has dropout 0.1"), std::string::npos);
  EXPECT_NE(error({{"model", {{"end_of_word_suffix", "</w>"}}}}).find("end_of_word_suffix"), std::string::npos);
  EXPECT_NE(error({{"model", {{"unk_token", "a"}}}}).find("no letter for byte 0"), std::string::npos);
  EXPECT_NE(error({{"pre_tokenizer", {{"add_prefix_space", true}}}}).find("has pre_tokenizer"), std::string::npos);
  EXPECT_NE(error({{"decoder", nullptr}}).find("has decoder null"), std::string::npos);
  EXPECT_NE(error({{"decoder", {{"type", "Replace"}, {"content", "b"}}}}).find("has decoder {"), std::string::npos);
  EXPECT_NE(
      error({{"model", {{"merges", json::array({json::array({"a", " b"})})}}}}).find("llama.cpp's have no spaces"),
      std::string::npos);
}

}  // namespace
}  // namespace hici::io::gguf
