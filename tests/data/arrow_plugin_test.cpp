// SPDX-License-Identifier: Apache-2.0
#include "hici/data/arrow/plugin.h"

#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <fstream>

namespace hici::data {
namespace {

void touch(const std::filesystem::path& path) { std::ofstream(path) << "x"; }

TEST(ArrowPluginTest, FindsTheVersionOfAPyarrow) {
  const testing::TemporaryFolder folder;
  EXPECT_EQ(libarrow_version(folder.path()), "");
  EXPECT_EQ(libarrow_version(folder.path() / "not there"), "");
  touch(folder.path() / "libarrow.so");
  touch(folder.path() / "libarrow.so.x1");
  touch(folder.path() / "libarrow_python.so.2400");
  EXPECT_EQ(libarrow_version(folder.path()), "");
  touch(folder.path() / "libarrow.so.2500");
  EXPECT_EQ(libarrow_version(folder.path()), "2500");
}

TEST(ArrowPluginTest, ListsThePluginsOfAFolder) {
  const testing::TemporaryFolder folder;
  EXPECT_TRUE(plugin_versions(folder.path()).empty());
  for (const char* name : {"libhici_arrow_2600.so", "libhici_arrow_2101.so", "libhici_arrow_.so", "libhici_cuda.so"})
    touch(folder.path() / name);
  EXPECT_EQ(plugin_versions(folder.path()), (std::vector<std::string>{"21.1", "26.0"}));
}

TEST(ArrowPluginTest, SaysWhatIsMissing) {
  const testing::TemporaryFolder plugins, pyarrow;
  const auto look = [&] { arrow_plugin_path("x.parquet", plugins.path(), pyarrow.path()); };
  EXPECT_ERROR_SAYS(look(), "x.parquet: needs libarrow, and here it is ");
  touch(plugins.path() / "libhici_arrow_2600.so");
  touch(plugins.path() / "libhici_arrow_2500.so");
  EXPECT_ERROR_SAYS(look(), "x.parquet: needs pyarrow, which is not in " + pyarrow.path().string() +
                                "; pip install a pyarrow of 25.0, 26.0, or save the data set as .jsonl");
  touch(pyarrow.path() / "libarrow.so.9900");
  EXPECT_ERROR_SAYS(look(),
                    " is pyarrow 99.0, which this hici does not read with; pip install a pyarrow of 25.0, 26.0");
  touch(plugins.path() / "libhici_arrow_9900.so");
  EXPECT_EQ(arrow_plugin_path("x", plugins.path(), pyarrow.path()), plugins.path() / "libhici_arrow_9900.so");
}

}  // namespace
}  // namespace hici::data
