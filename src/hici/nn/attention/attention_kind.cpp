// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/attention/attention_kind.h"

#include "hici/base/error.h"

#include <algorithm>
#include <utility>

namespace hici::nn {
namespace {

// The first name of a kind is its own, others are those of the research scripts.
constexpr std::pair<std::string_view, AttentionKind> kNames[] = {
    {"full", AttentionKind::kFull},    {"full_attn", AttentionKind::kFull}, {"segments", AttentionKind::kSegments},
    {"s2", AttentionKind::kS2},        {"longlora", AttentionKind::kS2},    {"hici", AttentionKind::kHici},
    {"chunked", AttentionKind::kHici}, {"None", AttentionKind::kHici},      {"dca", AttentionKind::kDca}};

}  // namespace

std::string_view attention_kind_name(AttentionKind kind) {
  const auto found =
      std::find_if(std::begin(kNames), std::end(kNames), [&](const auto& n) { return n.second == kind; });
  HICI_ASSERT(found != std::end(kNames), "kind ", static_cast<int>(kind));
  return found->first;
}

AttentionKind attention_kind_from_name(std::string_view name, std::string_view subject,
                                       const OfferedAttention& offered) {
  const bool is_offered = std::find(offered.names.begin(), offered.names.end(), name) != offered.names.end();
  HICI_CHECK_USAGE(is_offered, subject, ": unknown ", offered.what, " '", name, "'; ", offered.way_out);
  const auto found = std::find_if(std::begin(kNames), std::end(kNames), [&](const auto& n) { return n.first == name; });
  HICI_ASSERT(found != std::end(kNames), "offered without a kind: ", name);
  return found->second;
}

AttentionKind attention_kind_from_name(std::string_view name, std::string_view subject) {
  return attention_kind_from_name(name, subject,
                                  {.names = {"hici", "full", "s2", "dca"},
                                   .way_out = "use hici, full, s2 (training only) or dca (evaluation only)"});
}

AttentionKind attention_in_force(AttentionKind chosen, bool has_hierarchy) {
  return chosen == AttentionKind::kHici && !has_hierarchy ? AttentionKind::kSegments : chosen;
}

void check_stays_in_segments(AttentionKind kind, std::string_view subject) {
  HICI_CHECK_USAGE(kind == AttentionKind::kHici || kind == AttentionKind::kSegments, subject,
                   ": has no form with `attention` ", attention_kind_name(kind),
                   ", where tokens see beyond their segment; use `attention` hici");
}

}  // namespace hici::nn
