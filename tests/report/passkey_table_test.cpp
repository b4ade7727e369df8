// SPDX-License-Identifier: Apache-2.0
#include "hici/report/tables/passkey_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <utility>
#include <vector>

namespace hici::report {
namespace {

PasskeyResult result(const char* label, const char* attention, int64_t target,
                     const std::vector<std::pair<double, bool>>& tests) {
  PasskeyResult result{.label = label, .attention = attention, .length = {.target = target, .tests = {}}};
  for (const auto& [depth, is_correct] : tests)
    result.length.tests.push_back({.depth = depth, .answer = "", .is_correct = is_correct});
  return result;
}

const std::vector<PasskeyResult> kPasskeyResults = {
    result("m", "full", 8192, {{0, true}, {0.05, false}, {0.3, true}, {0.95, true}}),
    result("m", "full", 4096, {{0.999, false}}), result("m", "HiCI", 4096, {{0.1, true}})};

TEST(PasskeyTableTest, ACellIsTheShareOfRightAnswers) {
  const Table table = passkey_table(kPasskeyResults);
  EXPECT_EQ(table_text(table),
            "model  attention        4096        8192\n"
            "----------------------------------------\n"
            "m      full       0.00 (0/1)  0.75 (3/4)\n"
            "m      HiCI       1.00 (1/1)           -\n");
  EXPECT_TRUE(table.is_best(1, 0));
}

TEST(PasskeyTableTest, DepthsAreTenths) {
  const Table table = passkey_depth_table(kPasskeyResults);
  ASSERT_EQ(table.rows.size(), 2 * eval::kNumPasskeyDepths);
  EXPECT_EQ(table.rows[0].names, (std::vector<std::string>{"m", "full", "0-10%"}));
  EXPECT_EQ(table.rows[9].names, (std::vector<std::string>{"m", "full", "90-100%"}));
  EXPECT_EQ(table.rows[0].values[1], 0.5);
  EXPECT_EQ(table.rows[3].values[1], 1);
  EXPECT_EQ(table.rows[9].values[1], 1);
  EXPECT_EQ(table.rows[9].values[0], 0);
  EXPECT_TRUE(std::isnan(table.rows[5].values[1])) << "nothing was asked there";
  EXPECT_EQ(table.rows[11].values[0], 1);
}

TEST(PasskeyTableTest, AModelHasItsLengthsRising) {
  const std::vector<PasskeyModel> models = passkey_models(kPasskeyResults);
  ASSERT_EQ(models.size(), 2U);
  EXPECT_EQ(models[0].name, "m, full attention");
  ASSERT_EQ(models[0].lengths.size(), 2U);
  EXPECT_EQ(models[0].lengths[0].target, 4096);
  EXPECT_EQ(models[1].name, "m, HiCI attention");
}

}  // namespace
}  // namespace hici::report
