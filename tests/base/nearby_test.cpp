// SPDX-License-Identifier: Apache-2.0
#include "hici/base/nearby.h"

#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <filesystem>

namespace hici {
namespace {

namespace fs = std::filesystem;

TEST(NearbyTest, NamesFoldersInsideThatHoldIt) {
  const testing::TemporaryFolder folder;
  const auto found = [&](const fs::path& place) {
    return found_nearby(place, [](const fs::path& inner) { return fs::exists(inner / "wanted"); });
  };
  const auto make = [&](const fs::path& place) {
    fs::create_directories(folder / place);
    fs::create_directory(folder / place / "wanted");
  };
  EXPECT_EQ(found(folder.path()), "");
  EXPECT_EQ(found(folder / "nothing"), "");
  make("outer/default");
  EXPECT_EQ(found(folder / "outer"), "; " + (folder / "outer/default").string() + " holds one, give that");
  make("outer/other");
  EXPECT_EQ(found(folder / "outer"), "; " + (folder / "outer/default").string() + ", " +
                                         (folder / "outer/other").string() + " hold one each, give one of them");
  make("hub/models--a--b/snapshots/123");
  const std::string snapshot = (folder / "hub/models--a--b/snapshots/123").string();
  EXPECT_EQ(found(folder / "hub/models--a--b"), "; " + snapshot + " holds one, give that");
  EXPECT_EQ(found(folder / "hub"), "; " + snapshot + " holds one, give that");
}

}  // namespace
}  // namespace hici
