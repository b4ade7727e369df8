// SPDX-License-Identifier: Apache-2.0
#include "hici/io/checkpoint/model_identity.h"

#include "hici/base/file.h"
#include "hici/io/torch/archive_writer.h"
#include "hici/io/weight_file.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

namespace hici::io {
namespace {

using testing::TemporaryFolder;

const std::vector<TensorToWrite>& tensors() {
  static const std::vector<TensorToWrite> all = [] {
    at::manual_seed(4);
    return std::vector<TensorToWrite>{{"a", at::randn({30, 40}).to(at::kBFloat16)}, {"b", at::randn({7})}};
  }();
  return all;
}

TensorContents contents_in(const fs::path& folder, at::ScalarType dtype) {
  const auto source = open_weights(folder, "model", "pytorch_model").source;
  TensorContents contents;
  for (const auto& [name, ignored] : source->tensors()) {
    EXPECT_EQ(source->content_of(name), "");
    source->read(name, dtype);
    contents[name] = source->content_of(name);
  }
  return contents;
}

TEST(ModelIdentityTest, ContentsDoNotDependOnFormatShardsOrTheTypeThatIsReadTo) {
  const TemporaryFolder one, shards, bin;
  write_safetensors_model(one.path(), tensors(), uint64_t{1} << 30);
  write_safetensors_model(shards.path(), tensors(), 100);
  write_torch_file(bin / "pytorch_model.bin", tensors());
  const TensorContents contents = contents_in(one.path(), at::kFloat);
  EXPECT_TRUE(contents.at("a").starts_with("BF16[30, 40] ")) << contents.at("a");
  EXPECT_EQ(contents, contents_in(one.path(), at::kBFloat16));
  EXPECT_EQ(contents, contents_in(shards.path(), at::kFloat));
  EXPECT_EQ(contents, contents_in(bin.path(), at::kDouble));
}

TEST(ModelIdentityTest, AnotherValueTypeOrShapeIsAnotherContent) {
  const at::Tensor tensor = tensors()[1].load();
  at::Tensor changed = tensor.clone();
  changed[3] += 1e-6;
  std::set<std::string> seen;
  for (const at::Tensor& each : {tensor, changed, tensor.view(at::kInt), tensor.view({7, 1})}) {
    const TemporaryFolder folder;
    write_safetensors(folder / "model.safetensors", {{"b", each}});
    seen.insert(contents_in(folder.path(), each.scalar_type()).at("b"));
  }
  EXPECT_EQ(seen.size(), 4U);
}

TEST(ModelIdentityTest, ComesBackFromItsFile) {
  const TemporaryFolder folder;
  EXPECT_EQ(read_identity(folder.path()), std::nullopt);
  const ModelIdentity identity{{{"a", "F32[1] 00"}, {"b", "BF16[2, 3] 11"}}, "0123", {{"rms_norm_eps", "1e-05"}}};
  write_identity(folder.path(), identity);
  EXPECT_EQ(read_identity(folder.path()), identity);
  write_identity(folder.path(), {});
  EXPECT_EQ(read_identity(folder.path()), ModelIdentity{});
  const char* newer = R"({"format":"hici-identity","version":1,"config":{"later":"7"},"unknown":[1]})";
  EXPECT_EQ(parse_identity(newer, "i.json"), (ModelIdentity{{}, "", {{"later", "7"}}}));
  EXPECT_ERROR_SAYS(parse_identity(R"({"format":"hici-identity","version":1,"config":[]})", "i.json"),
                    "i.json: config");
  EXPECT_ERROR_SAYS(parse_identity(R"({"format":"x","version":1})", "i.json"), "i.json: format is \"x\"");
  EXPECT_ERROR_SAYS(parse_identity(R"({"format":"hici-identity","version":2})", "i.json"), "use a newer hici");
  EXPECT_ERROR_SAYS(parse_identity(R"({"format":"hici-identity","version":1,"base":{"a":1}})", "i.json"), "i.json");
}

TEST(ModelIdentityTest, OnlyTensorsThatBothKnowAreCompared) {
  const TensorContents one{{"a", "1"}, {"b", "2"}, {"c", "3"}};
  EXPECT_EQ(difference_of(one, one), "");
  EXPECT_EQ(difference_of(one, {}), "");
  EXPECT_EQ(difference_of(one, {{"c", "3"}, {"d", "9"}}), "");
  EXPECT_EQ(difference_of(one, {{"a", "1"}, {"b", "8"}, {"c", "9"}}), "2 of 3 tensors differ, 'b' first");
  EXPECT_EQ(joined_contents({{"a", "1"}}, {{"a", "7"}, {"b", "2"}}), (TensorContents{{"a", "1"}, {"b", "2"}}));
}

TEST(ModelIdentityTest, ValuesOfConfigAreComparedByName) {
  const std::map<std::string, std::string> one{{"head_dim", "8"}, {"rms_norm_eps", "1e-05"}, {"rope_type", "default"}};
  EXPECT_TRUE(config_differences(one, one).empty());
  EXPECT_TRUE(config_differences({}, one).empty());
  EXPECT_TRUE(config_differences(one, {}).empty());
  const auto found = config_differences(one, {{"head_dim", "8"}, {"rms_norm_eps", "1e-06"}, {"beta_fast", "32"}});
  ASSERT_EQ(found.size(), 1U);
  EXPECT_EQ(found[0].name + found[0].before + found[0].now, "rms_norm_eps1e-051e-06");
}

}  // namespace
}  // namespace hici::io
