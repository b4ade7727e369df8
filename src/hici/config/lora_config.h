// SPDX-License-Identifier: Apache-2.0
// LoRA of a model: which linear layers have factors, of which rank, and by what their product is multiplied. This is
// the one place that knows the scale; loading, training, merging and messages ask it.
#pragma once

#include "hici/base/pattern.h"

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hici::config {

// Values for modules whose name matches, as PEFT has them in rank_pattern and alpha_pattern: a key is a regular
// expression for the end of a name, from a dot on; the first key that matches counts.
template <typename V>
class NamePatterns {
 public:
  // An hici::Error that begins with `subject` for an expression that is none (base/pattern.h).
  void add(const std::string& key, V value, const std::string& subject) {
    entries_.push_back({key, value, Pattern("(.*\\.)?(" + key + ")", subject)});
  }
  std::optional<V> find(std::string_view module) const {
    for (const Entry& entry : entries_)
      if (entry.pattern.matches(module)) return entry.value;
    return std::nullopt;
  }
  bool empty() const { return entries_.empty(); }
  // (key, value) in the order of the file.
  std::vector<std::pair<std::string, V>> items() const {
    std::vector<std::pair<std::string, V>> out;
    for (const Entry& entry : entries_) out.emplace_back(entry.key, entry.value);
    return out;
  }
  bool operator==(const NamePatterns& other) const { return items() == other.items(); }

 private:
  struct Entry {
    std::string key;
    V value;
    Pattern pattern;
  };
  std::vector<Entry> entries_;
};

// One layer with factors: y = x W^T + scale (x A^T B^T + bias).
struct LoraModule {
  int64_t rank = 0;
  double alpha = 0;
  double scale = 0;
  bool has_bias = false;

  bool operator==(const LoraModule&) const = default;
};

struct LoraConfig {
  int64_t rank = 8;
  double alpha = 16;
  // Layers by the end of their names, from a dot on; on attention, MLPs and both HiCI modules alike.
  std::vector<std::string> targets{"q_proj", "k_proj", "v_proj", "o_proj"};
  bool use_rslora = false;  // scale alpha / sqrt(rank) instead of alpha / rank
  NamePatterns<int64_t> rank_pattern = {};
  NamePatterns<double> alpha_pattern = {};
  // Names of the layers that an adapter's files have factors of ("model.layers.0.self_attn.q_proj"); nothing for a
  // fresh adapter, where `targets` alone decide.
  std::optional<std::set<std::string>> modules = {};
  std::set<std::string> with_bias = {};  // of `modules`

  // Nothing for a layer without factors.
  std::optional<LoraModule> module(const std::string& name) const;
  bool adapts(const std::string& name) const;
  // Of a layer that has factors, whether `targets` and `modules` name it or not.
  LoraModule shape_of(const std::string& name) const;
  // Of a layer that no pattern names.
  double scale() const { return scale_of(alpha, rank); }
  // True when all layers have one rank and one scale.
  bool is_uniform() const { return rank_pattern.empty() && alpha_pattern.empty(); }
  // The largest rank of any pattern and of `rank`.
  int64_t largest_rank() const;
  void validate(const std::string& subject = "") const;
  bool operator==(const LoraConfig&) const = default;

 private:
  double scale_of(double alpha, int64_t rank) const;
};

// "q_proj=16,layers.0.self_attn.v_proj=4", or a JSON object of ranks by module, as PEFT has it; and back. An
// hici::Error that begins with `subject` for another text.
NamePatterns<int64_t> parse_rank_pattern(const std::string& text, const std::string& subject);
std::string rank_pattern_text(const NamePatterns<int64_t>& pattern);

// True for `name` itself and for an end of it that begins after a dot.
bool names_module(std::string_view target, std::string_view name);

}  // namespace hici::config
