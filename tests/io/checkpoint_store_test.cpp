// SPDX-License-Identifier: Apache-2.0
#include "hici/io/checkpoint/store.h"

#include "hici/base/file.h"
#include "hici/io/checkpoint/manifest.h"
#include "support/error_message.h"
#include "support/temporary_folder.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <set>
#include <string>

namespace hici::io {
namespace {

namespace fs = std::filesystem;

void write_weights(const fs::path& folder) { testing::write_text(folder / "weights.bin", std::string(1000, 'w')); }

class CheckpointStoreTest : public ::testing::Test {
 protected:
  std::set<std::string> names() const {
    std::set<std::string> found;
    for (const auto& entry : fs::directory_iterator(out_)) found.insert(entry.path().filename().string());
    return found;
  }

  void save_steps(CheckpointStore& store, std::initializer_list<int64_t> steps) const {
    for (const int64_t step : steps) ASSERT_TRUE(store.save(step, 1000, write_weights));
  }

  void damage(int64_t step) const {
    testing::write_text(checkpoint_path(out_, step) / "weights.bin", std::string(1000, 'x'));
  }

  // What `work` says on stderr.
  std::string said(const std::function<void()>& work) const {
    ::testing::internal::CaptureStderr();
    work();
    return ::testing::internal::GetCapturedStderr();
  }

  testing::TemporaryFolder folder_;
  fs::path out_ = folder_.path();
};

TEST_F(CheckpointStoreTest, ASavedCheckpointIsFoundAndNothingElseIsLeft) {
  CheckpointStore store(out_);
  EXPECT_EQ(find_latest_checkpoint(out_), std::nullopt);
  save_steps(store, {9, 10, 100});
  EXPECT_EQ(find_latest_checkpoint(out_), out_ / "checkpoint-100");
  EXPECT_EQ(names(), (std::set<std::string>{"checkpoint-9", "checkpoint-10", "checkpoint-100"}));
  EXPECT_EQ(store.failed_saves(), 0);
}

TEST_F(CheckpointStoreTest, BrokenCheckpointsAreNamedSkippedAndKept) {
  CheckpointStore store(out_);
  save_steps(store, {1, 2, 3, 4});
  damage(4);
  fs::remove(checkpoint_path(out_, 3) / kManifestName);
  fs::copy(checkpoint_path(out_, 1), checkpoint_path(out_, 5));  // whole, but of another step
  std::optional<fs::path> latest;
  const std::string warnings = said([&] { latest = find_latest_checkpoint(out_); });
  EXPECT_EQ(latest, out_ / "checkpoint-2");
  EXPECT_NE(warnings.find("checkpoint-4/weights.bin: its SHA-256 is not the one in manifest.json" +
                          std::string(kNotAsListed) + "; checkpoint-4 is skipped"),
            std::string::npos)
      << warnings;
  EXPECT_NE(warnings.find("checkpoint-3 is skipped"), std::string::npos) << warnings;
  EXPECT_NE(warnings.find("checkpoint-5/manifest.json: is of step 1, the folder is named checkpoint-5"),
            std::string::npos)
      << warnings;
  EXPECT_EQ(names().size(), 5U);
}

TEST_F(CheckpointStoreTest, NamesThatAreNotOursAreNoCheckpoints) {
  CheckpointStore store(out_);
  save_steps(store, {1});
  for (const char* name : {"checkpoint-", "checkpoint-07", "checkpoint--1", "checkpoint-2x", "checkpoint-2.tmp",
                           "checkpoint-99999999999999999999", "checkpoint-+3"}) {
    fs::create_directory(out_ / name);
  }
  testing::write_text(out_ / "checkpoint-50", "a file");
  EXPECT_EQ(said([&] { EXPECT_EQ(find_latest_checkpoint(out_), out_ / "checkpoint-1"); }), "");
}

TEST_F(CheckpointStoreTest, AFailedWriteLeavesTheOldCheckpointAndIsCounted) {
  CheckpointStore store(out_);
  save_steps(store, {1});
  const std::string warnings = said([&] {
    EXPECT_FALSE(store.save(2, 5000, [](const fs::path& folder) {
      write_weights(folder);
      fail(folder.string(), ": no luck");
    }));
  });
  EXPECT_NE(warnings.find("no luck"), std::string::npos) << warnings;
  EXPECT_NE(warnings.find("checkpoint-2: not saved, it needs 5000 bytes (4.88 KiB)"), std::string::npos) << warnings;
  EXPECT_EQ(store.failed_saves(), 1);
  EXPECT_EQ(names(), std::set<std::string>{"checkpoint-1"});
  EXPECT_THROW(store.save(3, 1, [](const fs::path&) { HICI_ASSERT(false, "a bug"); }), InternalError);
}

// As several processes write one: begun by one, written by all, published by one.
TEST_F(CheckpointStoreTest, BeginWriteAndPublishAreStepsOfTheirOwn) {
  CheckpointStore store(out_, 1);
  save_steps(store, {1});
  {
    CheckpointWriter writer = store.begin(2, 1000);
    EXPECT_EQ(find_latest_checkpoint(out_), out_ / "checkpoint-1") << "it has no name yet";
    const fs::path folder = writer.folder();  // what the others are told
    write_weights(folder);
    testing::write_text(folder / "more.bin", "of another process");
    store.publish(writer);
  }
  EXPECT_EQ(names(), std::set<std::string>{"checkpoint-2"}) << "published and rotated";
  EXPECT_TRUE(fs::exists(out_ / "checkpoint-2" / "more.bin"));
  const std::string warnings = said([&] { store.count_failure(3, 1000, "rank 1: no luck"); });
  EXPECT_NE(warnings.find("rank 1: no luck"), std::string::npos) << warnings;
  EXPECT_EQ(store.failed_saves(), 1);
}

// Another process may be writing there: only clean_up(), which the holder of the run's lock calls, removes anything.
TEST_F(CheckpointStoreTest, ConstructorsRemoveNothing) {
  const CheckpointStore first(out_);
  const CheckpointWriter writer = first.begin(1, 1000);
  write_weights(writer.folder());
  const CheckpointStore second(out_);
  const CheckpointWriter other = second.begin(1, 1000);
  EXPECT_NE(other.folder(), writer.folder());
  EXPECT_TRUE(fs::exists(writer.folder() / "weights.bin"));
}

TEST_F(CheckpointStoreTest, RotationLeavesTheNewestAndNeverDeletesABrokenOne) {
  CheckpointStore store(out_, 2);
  save_steps(store, {1});
  damage(1);
  const std::string warnings = said([&] { save_steps(store, {2, 3, 4, 5}); });
  EXPECT_EQ(names(), (std::set<std::string>{"checkpoint-1", "checkpoint-4", "checkpoint-5"}));
  EXPECT_NE(warnings.find("checkpoint-1 is broken and not deleted"), std::string::npos) << warnings;
  EXPECT_EQ(warnings.find("checkpoint-1 is"), warnings.rfind("checkpoint-1 is")) << "said once: " << warnings;
}

TEST_F(CheckpointStoreTest, ABrokenCheckpointDoesNotPushOutAWholeOne) {
  CheckpointStore store(out_, 2);
  save_steps(store, {1, 2});
  fs::remove(checkpoint_path(out_, 2) / kManifestName);
  save_steps(store, {3});
  EXPECT_EQ(names(), (std::set<std::string>{"checkpoint-1", "checkpoint-2", "checkpoint-3"}));
}

TEST_F(CheckpointStoreTest, RotationLeavesTheOneToKeepAndTheNewest) {
  CheckpointStore store(out_, 1);
  save_steps(store, {1, 2});
  store.keep(2);
  save_steps(store, {3, 4});
  EXPECT_EQ(names(), (std::set<std::string>{"checkpoint-2", "checkpoint-4"}));
  store.keep(4);
  store.rotate();
  EXPECT_EQ(names(), (std::set<std::string>{"checkpoint-4"}));
  CheckpointStore of_three(out_, 3);
  of_three.keep(4);
  save_steps(of_three, {5, 6, 7, 8});
  EXPECT_EQ(names(), (std::set<std::string>{"checkpoint-4", "checkpoint-7", "checkpoint-8"})) << "it is one of three";
  damage(4);
  fs::remove(checkpoint_path(out_, 4) / kManifestName);
  save_steps(of_three, {9});
  EXPECT_EQ(names(), (std::set<std::string>{"checkpoint-4", "checkpoint-7", "checkpoint-8", "checkpoint-9"}))
      << "a broken one counts for nothing";
}

TEST_F(CheckpointStoreTest, ANegativeLimitIsAUsageError) { EXPECT_THROW(CheckpointStore(out_, -1), UsageError); }

TEST_F(CheckpointStoreTest, ABrokenCheckpointOfTheSameStepIsMovedAside) {
  CheckpointStore store(out_);
  save_steps(store, {1, 2});
  damage(2);
  said([&] { save_steps(store, {2}); });
  EXPECT_EQ(find_latest_checkpoint(out_), out_ / "checkpoint-2");
  EXPECT_EQ(names(), (std::set<std::string>{"checkpoint-1", "checkpoint-2", "checkpoint-2.aside-1"}));
}

TEST_F(CheckpointStoreTest, GoingBackToAnEarlierStepSetsLaterOnesAside) {
  CheckpointStore store(out_);
  save_steps(store, {1, 2, 3});
  said([&] { store.set_aside_after(1); });
  EXPECT_EQ(find_latest_checkpoint(out_), out_ / "checkpoint-1");
  EXPECT_EQ(names(), (std::set<std::string>{"checkpoint-1", "checkpoint-2.aside-1", "checkpoint-3.aside-1"}));
}

TEST_F(CheckpointStoreTest, WhatADeadProcessLeftIsRemovedAndNothingElse) {
  CheckpointStore store(out_);
  save_steps(store, {1});
  for (const char* name : {"checkpoint-2.tmp", "checkpoint-0.deleting", "checkpoint-3.hici-tmp-00000000000000aa",
                           "my.tmp", "checkpoint-1.aside-1"}) {
    fs::create_directory(out_ / name);
    testing::write_text(out_ / name / "adapter_model.safetensors", "half of it");
  }
  for (const char* name : {"metrics.jsonl.hici-tmp-00000000000000ab", "metrics.jsonl.tmp-123-0", "notes.tmp-2026-11",
                           "checkpoint-5.tmp", "metrics.jsonl"})
    testing::write_text(out_ / name, "x");
  const AtomicFile live(out_ / "data.bin");  // of a `hici tokenize`
  std::set<std::string> expected{"checkpoint-1", "checkpoint-1.aside-1",    "checkpoint-5.tmp", "metrics.jsonl",
                                 "my.tmp",       "metrics.jsonl.tmp-123-0", "notes.tmp-2026-11"};
  for (const Leftover& leftover : leftovers_of(out_ / "data.bin")) expected.insert(leftover.path.filename().string());
  ASSERT_EQ(expected.size(), 8U);
  const std::string notes = said([&] { store.clean_up(); });
  EXPECT_EQ(names(), expected);
  EXPECT_NE(notes.find("checkpoint-2.tmp: left by a process that ended early, removed"), std::string::npos) << notes;
}

TEST_F(CheckpointStoreTest, AFormerNameWithOtherThingsInItIsNamedAndStays) {
  const CheckpointStore store(out_);
  for (const char* name : {"checkpoint-2.tmp", "checkpoint-3.deleting", "checkpoint-4.tmp", "checkpoint-5.tmp"}) {
    fs::create_directory(out_ / name);
    testing::write_text(out_ / name / "training_state.json", "{}");
  }
  testing::write_text(out_ / "checkpoint-2.tmp/thesis.txt", "mine");
  fs::create_directory(out_ / "checkpoint-3.deleting/photos");
  fs::create_symlink("nowhere", out_ / "checkpoint-4.tmp/config.json");
  for (const char* name : {"manifest.json.hici-tmp-00000000000000ab", "model-00001-of-00002.safetensors.tmp-12-0",
                           "optimizer.safetensors", "tokenizer.json"})
    testing::write_text(out_ / "checkpoint-5.tmp" / name, "x");
  const std::string notes = said([&] { store.clean_up(); });
  EXPECT_EQ(names(), (std::set<std::string>{"checkpoint-2.tmp", "checkpoint-3.deleting", "checkpoint-4.tmp"}));
  EXPECT_NE(notes.find("checkpoint-2.tmp: is named like what an earlier hici left"), std::string::npos) << notes;
  EXPECT_TRUE(fs::exists(out_ / "checkpoint-2.tmp/thesis.txt"));
}

TEST_F(CheckpointStoreTest, AnUnpublishedCheckpointDisappearsAndTakesOverNothing) {
  fs::create_directory(out_ / "checkpoint-4.tmp");
  testing::write_text(out_ / "checkpoint-4.tmp" / "precious", "x");
  {
    CheckpointWriter writer(out_, 4);
    write_weights(writer.folder());
    EXPECT_TRUE(is_temporary_name(writer.folder().filename().string()));
  }
  EXPECT_EQ(names(), std::set<std::string>{"checkpoint-4.tmp"});
  EXPECT_TRUE(fs::exists(out_ / "checkpoint-4.tmp" / "precious"));
}

}  // namespace
}  // namespace hici::io
