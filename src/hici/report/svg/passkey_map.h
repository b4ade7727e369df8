// SPDX-License-Identifier: Apache-2.0
// Passkey accuracies as people read them: a text table, and a map of length and depth.
#pragma once

#include "hici/eval/passkey/result.h"
#include "hici/report/svg/heat_map.h"

#include <string>
#include <vector>

namespace hici::report {

// "0-10%", "10-20%" ...
std::string depth_name(size_t tenth);

// A row for each length, a column for each tenth of the depth ('-' where no key stood), then all together.
std::string passkey_table_text(const std::vector<eval::PasskeyLength>& lengths);

// Columns are lengths, rows are tenths of the depth. At least one length.
HeatMap passkey_heat_map(const std::vector<eval::PasskeyLength>& lengths, const std::string& label);

}  // namespace hici::report
