// SPDX-License-Identifier: Apache-2.0
#include "hici/config/lora_config.h"

#include "hici/base/human.h"
#include "hici/base/json.h"
#include "hici/base/parse_number.h"
#include "hici/config/bounds.h"
#include "hici/config/lora_targets.h"
#include "hici/config/value_rules.h"

#include <algorithm>
#include <cmath>

namespace hici::config {

bool names_module(std::string_view target, std::string_view name) {
  return name == target ||
         (name.size() > target.size() && name.ends_with(target) && name[name.size() - target.size() - 1] == '.');
}

bool LoraConfig::adapts(const std::string& name) const {
  if (modules) return modules->contains(name);
  return std::any_of(targets.begin(), targets.end(),
                     [&](const std::string& target) { return names_module(target, name); });
}

std::optional<LoraModule> LoraConfig::module(const std::string& name) const {
  return adapts(name) ? std::optional(shape_of(name)) : std::nullopt;
}

LoraModule LoraConfig::shape_of(const std::string& name) const {
  LoraModule out;
  out.rank = rank_pattern.find(name).value_or(rank);
  out.alpha = alpha_pattern.find(name).value_or(alpha);
  out.scale = scale_of(out.alpha, out.rank);
  out.has_bias = with_bias.contains(name);
  return out;
}

double LoraConfig::scale_of(double of_alpha, int64_t of_rank) const {
  const double r = static_cast<double>(of_rank);
  return of_alpha / (use_rslora ? std::sqrt(r) : r);
}

int64_t LoraConfig::largest_rank() const {
  int64_t out = rank;
  for (const auto& [ignored, value] : rank_pattern.items()) out = std::max(out, value);
  return out;
}

NamePatterns<int64_t> parse_rank_pattern(const std::string& text, const std::string& subject) {
  NamePatterns<int64_t> out;
  if (text.starts_with("{")) {
    const nlohmann::json value = parse_json(text, subject);
    const JsonObject object(value, subject);
    const auto ordered = nlohmann::ordered_json::parse(text);
    for (const auto& [key, ignored] : ordered.items())  // in the order of the text
      out.add(key, object.integer(key, 1, kMaxLoraRank), subject);
    return out;
  }
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string_view entry = std::string_view(text).substr(at, end - at);
    const size_t equals = std::min(entry.rfind('='), entry.size());
    const auto rank = equals < entry.size() ? parse_number<int64_t>(entry.substr(equals + 1)) : std::nullopt;
    HICI_CHECK_USAGE(equals > 0 && rank && *rank >= 1 && *rank <= kMaxLoraRank, subject, ": '", printable(entry),
                     "' is no NAME=RANK with a rank of 1 to ", kMaxLoraRank, "; use q_proj=16,v_proj=4");
    out.add(std::string(entry.substr(0, equals)), *rank, subject);
    at = end + 1;
  }
  return out;
}

std::string rank_pattern_text(const NamePatterns<int64_t>& pattern) {
  std::string plain;
  nlohmann::ordered_json object;
  bool is_plain = true;
  for (const auto& [key, rank] : pattern.items()) {
    is_plain = is_plain && key.find_first_of(",=") == std::string::npos;
    plain.append(plain.empty() ? "" : ",").append(key).append("=").append(std::to_string(rank));
    object[key] = rank;
  }
  return is_plain ? plain : object.dump();
}

void LoraConfig::validate(const std::string& subject) const {
  const Rules rules(subject);
  const auto check_alpha = [&](const char* key, double value) {
    rules.check(value >= kMinLoraAlpha && value <= kMaxLoraAlpha, key, value, " is no scale; use ",
                shortest_number(kMinLoraAlpha), " to ", shortest_number(kMaxLoraAlpha), ", such as 16");
  };
  rules.in_range("lora_r", rank, kMaxLoraRank);
  check_alpha("lora_alpha", alpha);
  for (const auto& [ignored, value] : rank_pattern.items()) rules.in_range("lora_rank_pattern", value, kMaxLoraRank);
  for (const auto& [ignored, value] : alpha_pattern.items()) check_alpha("lora_alpha_pattern", value);
  rules.check(!targets.empty(), "lora_target_modules", "is empty; known: ", lora_target_names());
  for (const std::string& target : targets) {
    rules.check(is_lora_target(std::string_view(target).substr(target.rfind('.') + 1)), "lora_target_modules",
                shown_json(nlohmann::json(target)), " matches no linear layer; known: ", lora_target_names());
  }
}

}  // namespace hici::config
