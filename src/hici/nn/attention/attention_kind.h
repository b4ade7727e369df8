// SPDX-License-Identifier: Apache-2.0
// The kinds of attention and their names.
#pragma once

#include <string_view>
#include <vector>

namespace hici::nn {

enum class AttentionKind {
  kFull,      // causal over the whole sequence
  kSegments,  // causal inside each segment; nothing is seen of the others
  kS2,        // LongLoRA's shifted sparse attention: half of the heads in segments, half in segments shifted by S/2
  kHici,      // causal inside each segment, over [global slots, local slots, own tokens]; needs a hierarchy
  kDca,       // Dual Chunk Attention: causal over the whole sequence, positions bounded; no gradients
};

std::string_view attention_kind_name(AttentionKind kind);

// What an option takes: names of kinds, those of the research scripts among them, and the text that refuses others.
struct OfferedAttention {
  std::vector<std::string_view> names;
  std::string_view what = "attention";
  std::string_view way_out;  // "use full or hici"
};

// The kind that `name` stands for; a name that is not offered is a usage error. `subject` is the option.
AttentionKind attention_kind_from_name(std::string_view name, std::string_view subject,
                                       const OfferedAttention& offered);
// Of the names that training and generation take: "hici", "full", "s2", "dca".
AttentionKind attention_kind_from_name(std::string_view name, std::string_view subject);

// What `chosen` is for a model: HiCI without a hierarchy is attention inside segments.
AttentionKind attention_in_force(AttentionKind chosen, bool has_hierarchy);

// A usage error that begins with `subject`, which works segment by segment, for kinds whose tokens see beyond theirs.
void check_stays_in_segments(AttentionKind kind, std::string_view subject);

}  // namespace hici::nn
