// SPDX-License-Identifier: Apache-2.0
#include "hici/report/svg/looks.h"

#include <algorithm>

namespace hici::report {

Looks::Looks(const ReportData& data) {
  for (const PerplexityResult& result : data.perplexities) add(result.label, result.attention);
  for (const PasskeyResult& result : data.passkeys) add(result.label, result.attention);
  for (const AttentionResult& result : data.attentions) add(result.label, "");
  for (const TrainingRun& run : data.runs) add(run.name, "");
}

void Looks::add(const std::string& name, const std::string& attention) {
  const size_t number = owners_.size();
  Owner& owner = owners_.try_emplace(name, Owner{.number = number}).first->second;
  std::vector<std::string>& known = owner.attentions;
  if (!attention.empty() && std::find(known.begin(), known.end(), attention) == known.end()) known.push_back(attention);
}

Look Looks::of(const std::string& name, const std::string& attention) const {
  const auto found = owners_.find(name);
  if (found == owners_.end()) return {};
  const std::vector<std::string>& known = found->second.attentions;
  const auto place = std::find(known.begin(), known.end(), attention);
  return {.owner = found->second.number,
          .variant = place == known.end() ? 0 : static_cast<size_t>(place - known.begin())};
}

Look Looks::second_of(const std::string& run) const { return {.owner = of(run).owner, .variant = 1}; }

}  // namespace hici::report
