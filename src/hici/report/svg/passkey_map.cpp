// SPDX-License-Identifier: Apache-2.0
#include "hici/report/svg/passkey_map.h"

#include "hici/base/clean_text.h"
#include "hici/base/text_table.h"

#include <cmath>

namespace hici::report {
namespace {

std::string shown_share(double share) { return std::isnan(share) ? "-" : fixed_digits(share, 2); }

}  // namespace

std::string depth_name(size_t tenth) {
  constexpr size_t kWidth = 100 / eval::kNumPasskeyDepths;
  return std::to_string(tenth * kWidth) + "-" + std::to_string((tenth + 1) * kWidth) + "%";
}

std::string passkey_table_text(const std::vector<eval::PasskeyLength>& lengths) {
  std::vector<std::vector<std::string>> cells{{"length", "tokens"}};
  for (size_t i = 0; i < eval::kNumPasskeyDepths; ++i) cells[0].push_back(depth_name(i));
  cells[0].emplace_back("accuracy");
  for (const eval::PasskeyLength& length : lengths) {
    std::vector<std::string> row{std::to_string(length.target), fixed_digits(length.mean_tokens(), 0)};
    for (const double accuracy : length.accuracy_by_depth()) row.push_back(shown_share(accuracy));
    row.push_back(shown_share(length.accuracy()));
    cells.push_back(std::move(row));
  }
  return aligned_text(cells, 0);
}

HeatMap passkey_heat_map(const std::vector<eval::PasskeyLength>& lengths, const std::string& label) {
  HeatMap map{.title = "Passkey retrieval: " + clean_text(label),
              .x_label = "context length (tokens)",
              .y_label = "depth of the key",
              .columns = {},
              .rows = {},
              .values = std::vector<std::vector<double>>(eval::kNumPasskeyDepths)};
  for (size_t i = 0; i < eval::kNumPasskeyDepths; ++i) map.rows.push_back(depth_name(i));
  for (const eval::PasskeyLength& length : lengths) {
    map.columns.push_back(context_label(static_cast<double>(length.target)));
    const auto accuracies = length.accuracy_by_depth();
    for (size_t i = 0; i < accuracies.size(); ++i) map.values[i].push_back(accuracies[i]);
  }
  return map;
}

}  // namespace hici::report
