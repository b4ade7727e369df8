// SPDX-License-Identifier: Apache-2.0
// Files of a run with a JSON object on each line, each with the "step" that it belongs to.
#pragma once

#include "hici/base/json_lines.h"

#include <filesystem>
#include <vector>

namespace hici::train {

// Before a run appends to NAME.jsonl. `resume_step` > 0: leaves whole lines up to that step, and returns them; what
// came later was lost with a dead run. 0: the lines of another run are kept aside, as NAME.1.jsonl.
std::vector<JsonLine> prepare_record_file(const std::filesystem::path& file, int64_t resume_step);

}  // namespace hici::train
