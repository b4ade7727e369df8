// SPDX-License-Identifier: Apache-2.0
#include "hici/report/model_names.h"

#include <gtest/gtest.h>

namespace hici::report {
namespace {

using Names = std::vector<std::string>;

TEST(ModelNamesTest, TheLastPartOfAPathIsTheName) {
  EXPECT_EQ(short_name("/data/models/Llama-2-7b-hf"), "Llama-2-7b-hf");
  EXPECT_EQ(short_name("runs/hici-8k/"), "hici-8k");
  EXPECT_EQ(short_name("./runs/../runs/hici-8k/checkpoint-1000"), "hici-8k/checkpoint-1000");
  EXPECT_EQ(short_name("checkpoint-7"), "checkpoint-7");
  EXPECT_EQ(short_name("/c/hub/models--meta-llama--Llama-2-7b-hf/snapshots/01ab23"), "Llama-2-7b-hf");
  EXPECT_EQ(short_name("."), ".");
  EXPECT_EQ(short_name("/"), "/");
}

TEST(ModelNamesTest, FoldersInFrontTellOneFromAnother) {
  EXPECT_EQ(distinct_names({"x/a/m", "x/b/m", "n"}), (Names{"a/m", "b/m", "n"}));
  EXPECT_EQ(distinct_names({"1/a/m", "2/a/m", "2/b/m"}), (Names{"1/a/m", "2/a/m", "b/m"}));
  EXPECT_EQ(distinct_names({"m", "x/m"}), (Names{"m", "x/m"}));
  EXPECT_EQ(distinct_names({"x/m", "x//m/"}), (Names{"m", "m"})) << "one path";
  EXPECT_EQ(distinct_names({}), Names{});
}

PerplexityResult of(const std::string& path, const std::string& weights) {
  return {.label = path, .origin = {.path = path, .weights = weights}};
}

Names labels_of(ReportData data) {
  name_models(data);
  Names labels;
  for (const PerplexityResult& result : data.perplexities) labels.push_back(result.label);
  for (const PasskeyResult& result : data.passkeys) labels.push_back(result.label);
  return labels;
}

TEST(ModelNamesTest, WeightsDecideWhetherTwoPathsAreOneModel) {
  ReportData data;
  data.perplexities = {of("runs/m", "aaaaaaaaaa"), of("/data/x/runs/m", "aaaaaaaaaa")};
  EXPECT_EQ(labels_of(data), (Names{"m", "m"}));
  data.perplexities[1].origin.weights = "bbbbbbbbbb";
  EXPECT_EQ(labels_of(data), (Names{"runs/m", "x/runs/m"}));
  data.perplexities[1] = of("runs/m", "bbbbbbbbbb");
  EXPECT_EQ(labels_of(data), (Names{"m (weights aaaaaaaa)", "m (weights bbbbbbbb)"}));
}

TEST(ModelNamesTest, AResultWithoutWeightsIsOfTheModelOfItsPath) {
  ReportData data;
  data.perplexities = {of("runs/m", "aaaaaaaaaa")};
  data.passkeys = {{.label = "runs/m", .origin = {.path = "runs/m"}}, {.label = "old/m", .origin = {.path = "old/m"}}};
  EXPECT_EQ(labels_of(data), (Names{"runs/m", "runs/m", "old/m"}));
}

TEST(ModelNamesTest, LabelsThatSomebodyGaveStay) {
  ReportData data;
  data.perplexities = {{.label = "HiCI/32K"}, of("runs/m", "")};
  EXPECT_EQ(labels_of(data), (Names{"HiCI/32K", "m"}));
}

}  // namespace
}  // namespace hici::report
