// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longeval/judge_cache.h"

#include "hici/base/file.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <fstream>

namespace hici::eval {
namespace {

TEST(JudgeCacheTest, KeepsVerdictsByModelAndAnswer) {
  const testing::TemporaryFolder folder;
  const auto file = JudgeCache::beside(folder / "5_response.txt");
  EXPECT_EQ(file.filename(), "5_response.txt.judge.jsonl");
  {
    JudgeCache cache(file, "m");
    EXPECT_FALSE(std::filesystem::exists(file)) << "nothing to keep yet";
    cache.add({"a", "b"}, true, "1");
    cache.add({"a", "\xff"}, false, "0.");
    EXPECT_EQ(cache.find({"a", "b"}), true);
  }
  const JudgeCache again(file, "m");
  EXPECT_EQ(again.find({"a", "b"}), true);
  EXPECT_EQ(again.find({"a", "\xff"}), false) << "bytes that are no UTF-8";
  EXPECT_EQ(again.find({"ab", ""}), std::nullopt);
  EXPECT_EQ(JudgeCache(file, "another").find({"a", "b"}), std::nullopt);
}

TEST(JudgeCacheTest, ALineThatACrashCutCostsThatVerdictOnly) {
  const testing::TemporaryFolder folder;
  const auto file = folder / "x.judge.jsonl";
  JudgeCache(file, "m").add({"a", "b"}, true, "1");
  std::ofstream(file, std::ios::app) << R"({"model":"m","label":"c","answ)";
  JudgeCache(file, "m").add({"e", "f"}, true, "1");
  const JudgeCache cache(file, "m");
  EXPECT_EQ(cache.find({"a", "b"}), true);
  EXPECT_EQ(cache.find({"e", "f"}), true);
  EXPECT_EQ(cache.find({"c", "d"}), std::nullopt);
}

TEST(JudgeCacheTest, WhatIsNoVerdictIsLeftOut) {
  const testing::TemporaryFolder folder;
  const auto file = folder / "x.judge.jsonl";
  write_file_atomically(file, R"({"model":"m","label":"a","answer":"b","verdict":2})"
                              "\n"
                              R"({"model":"m","label":"c","answer":"d","verdict":0})"
                              "\n");
  const JudgeCache cache(file, "m");
  EXPECT_EQ(cache.find({"a", "b"}), std::nullopt);
  EXPECT_EQ(cache.find({"c", "d"}), false);
}

}  // namespace
}  // namespace hici::eval
