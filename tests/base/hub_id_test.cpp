// SPDX-License-Identifier: Apache-2.0
#include "hici/base/hub_id.h"

#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>

namespace hici {
namespace {

TEST(HubIdTest, ANameOfTheHubGetsTheCommand) {
  EXPECT_EQ(hub_hint("meta-llama/Llama-2-7b-hf", HubKind::kModel),
            "; 'hf download meta-llama/Llama-2-7b-hf --local-dir Llama-2-7b-hf' fetches it where that is a name of the "
            "Hugging Face Hub, then give Llama-2-7b-hf");
  EXPECT_EQ(hub_hint("THUDM/LongBench", HubKind::kDataSet),
            "; 'hf download THUDM/LongBench --repo-type dataset --local-dir LongBench' fetches it where that is a name "
            "of the Hugging Face Hub, then give LongBench");
}

TEST(HubIdTest, APathIsNoName) {
  for (const std::string path :
       {"", "model", "/models/llama", "./models/llama", "../llama", "a/b/c", "a/", "a b/c", "a/b'c", "a/-b", "a/b\n"})
    EXPECT_EQ(hub_hint(path, HubKind::kModel), "") << path;
}

TEST(HubIdTest, AMistypedNameInAFolderThatIsHereIsNone) {
  const testing::TemporaryFolder folder;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  std::filesystem::create_directory("runs");
  EXPECT_EQ(hub_hint("runs/frist", HubKind::kModel), "");
  std::filesystem::current_path(before);
}

}  // namespace
}  // namespace hici
