// SPDX-License-Identifier: Apache-2.0
// How often passkeys were found by several models: by the length of the prompt, and by where in the prompt they stood.
#pragma once

#include "hici/report/tables/table.h"

#include <vector>

namespace hici::report {

// The share of right answers: one row for each model and attention, one column for each length.
Table passkey_table(const std::vector<PasskeyResult>& results);
// The same by tenths of the depth: a row for each tenth as well, from the beginning of the prompt to its end.
Table passkey_depth_table(const std::vector<PasskeyResult>& results);

// All lengths of one model and attention, rising.
struct PasskeyModel {
  std::string name;  // as in row_names()
  std::vector<eval::PasskeyLength> lengths;
};
// In the order of the rows of passkey_table().
std::vector<PasskeyModel> passkey_models(const std::vector<PasskeyResult>& results);

}  // namespace hici::report
