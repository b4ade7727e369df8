// SPDX-License-Identifier: Apache-2.0
#include "hici/base/json_lines.h"

#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <fstream>

namespace hici {
namespace {

TEST(JsonLinesTest, LeavesOutATornLastLineAndNamesOtherBadLines) {
  const testing::TemporaryFolder folder;
  std::ofstream(folder / "log") << "{\"a\":1}\n[2]\n{bad\n{\"a\":4}\n{\"a\":5}";
  ::testing::internal::CaptureStderr();
  const std::vector<JsonLine> lines = read_json_lines(folder / "log");
  const std::string warnings = ::testing::internal::GetCapturedStderr();
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1].text, "{\"a\":4}");
  EXPECT_NE(warnings.find("log: line 2: no JSON object"), std::string::npos) << warnings;
  EXPECT_NE(warnings.find("log: line 3"), std::string::npos) << warnings;
  EXPECT_EQ(warnings.find("line 5"), std::string::npos) << warnings;
}

// What followed a NUL on a line used to be dropped, so that a damaged answer counted.
TEST(JsonLinesTest, LeavesOutALineWithANul) {
  const testing::TemporaryFolder folder;
  std::ofstream(folder / "log") << "{\"a\":1}\n{\"a\":2}" << std::string(3, '\0') << ",\"b\":1}\n{\"a\":3}\n";
  ::testing::internal::CaptureStderr();
  const std::vector<JsonLine> lines = read_json_lines(folder / "log");
  const std::string warnings = ::testing::internal::GetCapturedStderr();
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_EQ(lines[1].value, nlohmann::json({{"a", 3}}));
  EXPECT_NE(warnings.find("log: line 2: not JSON, a NUL is byte 8"), std::string::npos) << warnings;
}

TEST(JsonLinesTest, AFileThatIsNotThereHasNoLines) { EXPECT_TRUE(read_json_lines("/no/such/file").empty()); }

}  // namespace
}  // namespace hici
