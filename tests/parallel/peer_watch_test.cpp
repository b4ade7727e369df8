// SPDX-License-Identifier: Apache-2.0
#include "hici/parallel/peer_watch.h"

#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include <gtest/gtest.h>

#include <future>
#include <memory>

namespace hici::parallel {
namespace {

using std::chrono::milliseconds;
// Twenty signs fit into the silence, so that a busy machine makes no false alarm.
constexpr PeerWatch::Settings kFast{.period = milliseconds(20), .silence = milliseconds(400)};

struct Peers {
  c10::intrusive_ptr<c10d::Store> store = c10::make_intrusive<c10d::HashStore>();
  std::vector<std::promise<std::string>> ends;
  std::vector<std::unique_ptr<PeerWatch>> watches;

  explicit Peers(int64_t size) : ends(static_cast<size_t>(size)) {
    for (int64_t rank = 0; rank < size; ++rank) {
      watches.push_back(std::make_unique<PeerWatch>(
          store, rank, size, [this, rank](const std::string& line) { ends[static_cast<size_t>(rank)].set_value(line); },
          kFast));
    }
    for (const auto& watch : watches) watch->start();
  }

  std::string end_of(size_t rank) {
    auto end = ends[rank].get_future();
    return end.wait_for(std::chrono::seconds(20)) == std::future_status::ready ? end.get() : "it did not end";
  }
};

TEST(PeerWatchTest, AProcessThatDiesIsNamedWithItsStepInAllOthers) {
  Peers peers(3);
  peers.watches[1]->set_step(17);
  std::this_thread::sleep_for(milliseconds(100));
  peers.watches[1].reset();  // no sign of life from here on
  for (const size_t rank : {0u, 2u}) {
    const std::string line = peers.end_of(rank);
    EXPECT_NE(line.find("rank 1 of 3 ("), std::string::npos) << line;
    EXPECT_NE(line.find("step 17"), std::string::npos) << line;
  }
}

TEST(PeerWatchTest, TheLeaderIsWatchedByAll) {
  Peers peers(3);
  peers.watches[0].reset();
  for (const size_t rank : {1u, 2u}) EXPECT_NE(peers.end_of(rank).find("rank 0 of 3"), std::string::npos);
}

TEST(PeerWatchTest, WhoReportsAFaultFirstIsQuotedAndTheOthersEnd) {
  Peers peers(3);
  std::string first;
  EXPECT_TRUE(peers.watches[2]->report("the disk is full", &first));
  EXPECT_FALSE(peers.watches[1]->report("the disk is full", &first)) << "the same, and said already";
  EXPECT_EQ(first, "the disk is full");
  const std::string line = peers.end_of(0);
  EXPECT_TRUE(line.starts_with("rank 2 of 3 (") && line.ends_with(") failed: the disk is full")) << line;
}

TEST(PeerWatchTest, AnEndThatIsNoFaultAlarmsNobody) {
  Peers peers(2);
  std::this_thread::sleep_for(milliseconds(200));
  for (auto& watch : peers.watches) watch->stop();
  for (auto& end : peers.ends) EXPECT_EQ(end.get_future().wait_for(milliseconds(0)), std::future_status::timeout);
}

}  // namespace
}  // namespace hici::parallel
