// SPDX-License-Identifier: Apache-2.0
// Every fuzz target over its seeds, what is left of them when they are cut short, and their single-byte mutations from
// a generator with a fixed seed. Nothing but a clean refusal may come of it.
#include "fuzz/fuzz_target.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <random>

namespace hici::fuzz {

// How gtest names a parameter; found in the namespace of its type only.
void PrintTo(const TargetEntry& entry, std::ostream* out);
void PrintTo(const TargetEntry& entry, std::ostream* out) { *out << entry.name; }

namespace {

// "accepted", "refused", or what went wrong.
std::string outcome(Target* read, std::string_view bytes) {
  try {
    return accepts(read, bytes) ? "accepted" : "refused";
  } catch (const std::exception& e) {
    return std::string("wrong: ") + e.what();
  }
}

bool is_clean(const std::string& outcome) { return outcome == "accepted" || outcome == "refused"; }

class FuzzRegressionTest : public ::testing::TestWithParam<TargetEntry> {};

INSTANTIATE_TEST_SUITE_P(Readers, FuzzRegressionTest, ::testing::ValuesIn(all_targets().begin(), all_targets().end()),
                         [](const auto& each) { return each.param.name; });

TEST_P(FuzzRegressionTest, AcceptsItsSeeds) {
  const auto seeds = GetParam().seeds();
  ASSERT_FALSE(seeds.empty());
  for (size_t i = 0; i < seeds.size(); ++i)
    EXPECT_NO_THROW(EXPECT_TRUE(accepts(GetParam().read, seeds[i]) || (GetParam().read(seeds[i]), false))) << i;
}

TEST_P(FuzzRegressionTest, TakesTruncatedSeedsCleanly) {
  size_t refused = 0;
  for (const std::string& seed : GetParam().seeds()) {
    const size_t step = std::max<size_t>(1, seed.size() / GetParam().num_runs);
    for (size_t size = 0; size < seed.size(); size += step) {
      const std::string got = outcome(GetParam().read, std::string_view(seed).substr(0, size));
      EXPECT_TRUE(is_clean(got)) << "first " << size << " bytes: " << got;
      refused += got == "refused";
    }
  }
  // A journal that was cut short is one of fewer answers; its target checks that no case is lost. All others refuse
  // some cut.
  const bool may_be_shorter = std::string_view(GetParam().name) == "case_journal";
  EXPECT_TRUE(may_be_shorter || refused > 0);
}

// At every byte of a seed, or at as many as num_runs allows, evenly spread; several times in short ones.
void run_mutations(const TargetEntry& target, const std::function<std::string(std::string seed, size_t at)>& mutate) {
  size_t refused = 0;
  for (const std::string& seed : target.seeds()) {
    for (size_t i = 0; i < target.num_runs; ++i) {
      const size_t at = seed.size() > target.num_runs ? i * seed.size() / target.num_runs : i % seed.size();
      const std::string mutated = mutate(seed, at);
      const std::string got = outcome(target.read, mutated);
      EXPECT_TRUE(is_clean(got)) << "changed at byte " << at << ": " << got;
      refused += got == "refused";
    }
  }
  EXPECT_GT(refused, 0U);
}

TEST_P(FuzzRegressionTest, TakesMutatedSeedsCleanly) {
  std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same mutations every time
  run_mutations(GetParam(), [&](std::string seed, size_t at) {
    seed[at] = static_cast<char>(static_cast<unsigned char>(seed[at]) ^ (1 + random() % 255));
    return seed;
  });
}

// A line end written as in JSON must not come out as one in a message.
TEST_P(FuzzRegressionTest, TakesLineEndsCleanly) {
  run_mutations(GetParam(), [](std::string seed, size_t at) { return seed.insert(at, "\\n"); });
}

TEST(FuzzHarnessTest, NoticesWhatIsNoCleanRefusal) {
  EXPECT_EQ(outcome([](std::string_view) {}, ""), "accepted");
  EXPECT_EQ(outcome([](std::string_view) { fail("x: bad"); }, ""), "refused");
  EXPECT_EQ(outcome([](std::string_view) { fail("x: column '\u00e9tiquette'"); }, ""), "refused");
  EXPECT_FALSE(is_clean(outcome([](std::string_view) { fail("two\nlines"); }, "")));
  EXPECT_FALSE(is_clean(outcome([](std::string_view) { fail("half a character: \xC3"); }, "")));
  EXPECT_FALSE(is_clean(outcome([](std::string_view) { HICI_ASSERT(false, "x"); }, "")));
  EXPECT_FALSE(is_clean(outcome([](std::string_view) { throw std::out_of_range("x"); }, "")));
}

}  // namespace
}  // namespace hici::fuzz
