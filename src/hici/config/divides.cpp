// SPDX-License-Identifier: Apache-2.0
#include "hici/config/divides.h"

#include "hici/base/error.h"

#include <algorithm>
#include <vector>

namespace hici::config {
namespace {

// The divisors of `whole` next to `value`: "4 or 6", or one of them.
std::string nearest_divisors(int64_t value, int64_t whole) {
  int64_t below = 0, above = whole;
  auto look_at = [&](int64_t divisor) {
    if (divisor < value) below = std::max(below, divisor);
    if (divisor > value) above = std::min(above, divisor);
  };
  for (int64_t d = 1; d <= whole / d; ++d) {
    if (whole % d != 0) continue;
    look_at(d);
    look_at(whole / d);
  }
  if (below == 0 || below == whole) return std::to_string(below == 0 ? above : below);
  return detail::concat(below, " or ", above);
}

}  // namespace

std::string why_not_a_divisor(int64_t value, std::string_view whole_name, int64_t whole) {
  if (value >= 1 && whole % value == 0) return {};
  return detail::concat(value, " does not divide ", whole_name, " ", whole, "; use ", nearest_divisors(value, whole));
}

std::string shown_divisors(int64_t whole) {
  std::vector<int64_t> divisors;
  for (int64_t d = 1; d <= whole / d; ++d) {
    if (whole % d != 0) continue;
    divisors.push_back(d);
    if (d != whole / d) divisors.push_back(whole / d);
  }
  std::sort(divisors.begin(), divisors.end());
  constexpr size_t kShown = 12, kEnds = kShown / 2;
  std::string out;
  for (size_t i = 0; i < divisors.size(); ++i) {
    const bool is_left_out = divisors.size() > kShown && i >= kEnds && i + kEnds < divisors.size();
    if (is_left_out && i > kEnds) continue;
    out.append(out.empty() ? "" : ", ").append(is_left_out ? "..." : std::to_string(divisors[i]));
  }
  return out;
}

void check_divides(std::string_view name, int64_t value, std::string_view whole_name, int64_t whole,
                   std::string_view other_way) {
  const std::string reason = why_not_a_divisor(value, whole_name, whole);
  HICI_CHECK_USAGE(reason.empty(), name, ": ", reason, other_way);
}

void check_segments(int64_t segment_length, int64_t num_segments, std::string_view whole_name, int64_t whole) {
  if (segment_length != 0) {
    check_divides("`segment_length`", segment_length, whole_name, whole);
  } else {
    check_divides("`num_segments`", num_segments, whole_name, whole);
  }
}

}  // namespace hici::config
