// SPDX-License-Identifier: Apache-2.0
#include "hici/train/event_file.h"

#include "hici/base/file.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

namespace hici::train {
namespace {

// RFC 3720, appendix B.4.
TEST(Crc32cTest, MatchesThePublishedVectors) {
  std::string ascending(32, '\0');
  for (size_t i = 0; i < ascending.size(); ++i) ascending[i] = static_cast<char>(i);
  EXPECT_EQ(detail::crc32c(std::string(32, '\0')), 0x8A9136AAU);
  EXPECT_EQ(detail::crc32c(std::string(32, '\xFF')), 0x62A8AB43U);
  EXPECT_EQ(detail::crc32c(ascending), 0x46DD794EU);
  EXPECT_EQ(detail::crc32c("123456789"), 0xE3069283U);
}

TEST(EventFileTest, BeginsWithTheVersionAndHoldsEachEventAtOnce) {
  const testing::TemporaryFolder folder;
  EventFileWriter writer(folder.path());
  const std::string version = read_file(writer.path(), 1 << 20);
  // Length 24, then its crc, then wall_time (9 bytes) and file_version (15 bytes), then their crc.
  ASSERT_EQ(version.size(), 8U + 4U + 24U + 4U);
  EXPECT_EQ(version.substr(0, 8), std::string("\x18\0\0\0\0\0\0\0", 8));
  EXPECT_EQ(version.substr(12 + 9, 15),
            "\x1A\x0D"
            "brain.Event:2");
  ASSERT_TRUE(writer.add_scalars(1, std::array{Scalar{"loss", 2.5F}}));
  EXPECT_GT(std::filesystem::file_size(writer.path()), version.size());
}

TEST(EventFileTest, EachRunHasItsOwnFile) {
  const testing::TemporaryFolder folder;
  const EventFileWriter first(folder.path());
  const EventFileWriter second(folder.path());
  EXPECT_NE(first.path(), second.path());
  EXPECT_NE(first.path().filename().string().find("tfevents"), std::string::npos);
}

// In a container the next process may have the same id, within the same second.
TEST(EventFileTest, ANameThatIsTakenIsNoFailure) {
  const testing::TemporaryFolder folder;
  const std::filesystem::path first = EventFileWriter(folder.path()).path();
  const std::string name = first.filename().string();  // events.out.tfevents.SECONDS.HOST.PID.0
  const size_t begin = std::string("events.out.tfevents.").size(), end = name.find('.', begin);
  const int64_t seconds = std::stoll(name.substr(begin, end - begin));
  const std::string rest = name.substr(end, name.rfind('.') + 1 - end);
  for (int64_t later = 0; later < 10; ++later) {
    for (int number = 0; number < 4; ++number)
      std::ofstream(folder / (name.substr(0, begin) + std::to_string(seconds + later) + rest + std::to_string(number)));
  }
  const EventFileWriter second(folder.path());
  EXPECT_EQ(second.path().filename().string().back(), '4');
}

// What read_event_files.py looks at with TensorBoard's reader.
TEST(EventFileTest, WritesAResumedRunForTheReader) {
  const testing::TemporaryFolder folder;
  const char* output = std::getenv("HICI_TEST_OUTPUT");
  const std::filesystem::path directory = output != nullptr ? output : folder.path();
  {
    EventFileWriter dead(directory);
    const std::array<float, 3> losses = {2.5F, -0.1F, 99.0F};
    for (int step = 1; step <= 3; ++step) {
      const float loss = losses.at(static_cast<size_t>(step) - 1);
      ASSERT_TRUE(dead.add_scalars(step, std::array{Scalar{"train/loss", loss}, Scalar{"train/tokens", 1e6F}}));
    }
  }
  EventFileWriter resumed(directory, 3);
  ASSERT_TRUE(resumed.add_scalars(3, std::array{Scalar{"train/loss", 1.75F}}));
  ASSERT_TRUE(resumed.add_scalars(int64_t{1} << 40, std::array{Scalar{"train/loss", 1e-9F}}));
}

}  // namespace
}  // namespace hici::train
