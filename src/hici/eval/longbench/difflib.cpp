// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longbench/difflib.h"

#include "hici/text/utf8.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace hici::eval {
namespace {

// Python's rule for "popular" characters, its autojunk.
constexpr size_t kLongText = 200;
constexpr size_t popular_above(size_t length) { return length / 100 + 1; }

struct Block {
  size_t in_a = 0, in_b = 0, length = 0;
};

// Parts of both texts between which a block is looked for: [begin, end) of each.
struct TextPart {
  size_t a_begin, a_end, b_begin, b_end;
};

class Matcher {
 public:
  Matcher(std::u32string a, std::u32string b) : a_(std::move(a)), b_(std::move(b)), run_(b_.size() + 1) {
    for (size_t j = 0; j < b_.size(); ++j) places_[b_[j]].push_back(j);
    if (b_.size() < kLongText) return;
    std::erase_if(places_, [&](const auto& entry) { return entry.second.size() > popular_above(b_.size()); });
  }

  size_t num_matched() {
    size_t matched = 0;
    std::vector<TextPart> open = {{0, a_.size(), 0, b_.size()}};
    while (!open.empty()) {
      const TextPart part = open.back();
      open.pop_back();
      const Block block = longest_block(part);
      if (block.length == 0) continue;
      matched += block.length;
      const size_t a_after = block.in_a + block.length, b_after = block.in_b + block.length;
      if (part.a_begin < block.in_a && part.b_begin < block.in_b)
        open.push_back({part.a_begin, block.in_a, part.b_begin, block.in_b});
      if (a_after < part.a_end && b_after < part.b_end) open.push_back({a_after, part.a_end, b_after, part.b_end});
    }
    return matched;
  }

  double ratio() {
    const size_t characters = a_.size() + b_.size();
    return characters == 0 ? 1.0 : 2.0 * static_cast<double>(num_matched()) / static_cast<double>(characters);
  }

 private:
  // run_[j + 1]: length of the common run that ends at the last character of `a` looked at and at b_[j].
  Block longest_block(const TextPart& part) {
    Block best{part.a_begin, part.b_begin, 0};
    std::vector<size_t> ends, next_ends;  // of runs that are not 0, ascending
    for (size_t i = part.a_begin; i < part.a_end; ++i) {
      next_ends.clear();
      lengthen_runs(a_[i], part, next_ends);
      drop_runs(ends, next_ends);
      for (const size_t j : next_ends) {
        if (run_[j + 1] > best.length) best = {i + 1 - run_[j + 1], j + 1 - run_[j + 1], run_[j + 1]};
      }
      ends.swap(next_ends);
    }
    for (const size_t j : ends) run_[j + 1] = 0;
    return widened(best, part);
  }

  // From the last place to the first, so that the run before each is still that of the character before.
  void lengthen_runs(char32_t character, const TextPart& part, std::vector<size_t>& ends) {
    const auto found = places_.find(character);
    if (found == places_.end()) return;
    const std::vector<size_t>& places = found->second;
    const auto first = std::lower_bound(places.begin(), places.end(), part.b_begin);
    ends.assign(first, std::lower_bound(first, places.end(), part.b_end));
    for (auto at = ends.rbegin(); at != ends.rend(); ++at) run_[*at + 1] = run_[*at] + 1;
  }

  // Runs that the character did not lengthen are over.
  void drop_runs(const std::vector<size_t>& ends, const std::vector<size_t>& next_ends) {
    auto kept = next_ends.begin();
    for (const size_t j : ends) {
      while (kept != next_ends.end() && *kept < j) ++kept;
      if (kept == next_ends.end() || *kept != j) run_[j + 1] = 0;
    }
  }

  // Popular characters begin no block, and are part of the blocks that they touch.
  Block widened(Block block, const TextPart& part) const {
    while (block.in_a > part.a_begin && block.in_b > part.b_begin && a_[block.in_a - 1] == b_[block.in_b - 1]) {
      --block.in_a;
      --block.in_b;
      ++block.length;
    }
    const auto goes_on = [&] {
      const size_t i = block.in_a + block.length, j = block.in_b + block.length;
      return i < part.a_end && j < part.b_end && a_[i] == b_[j];
    };
    while (goes_on()) ++block.length;
    return block;
  }

  std::u32string a_, b_;
  std::unordered_map<char32_t, std::vector<size_t>> places_;  // in b_, ascending; none of popular characters
  std::vector<size_t> run_;
};

}  // namespace

double difflib_ratio(std::string_view a, std::string_view b) {
  return Matcher(text::characters_of(a), text::characters_of(b)).ratio();
}

}  // namespace hici::eval
