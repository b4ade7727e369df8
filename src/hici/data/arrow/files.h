// SPDX-License-Identifier: Apache-2.0
// The files of a folder that `datasets.save_to_disk` wrote: dataset_dict.json names splits, SPLIT/state.json lists
// Arrow IPC stream files. Nothing here needs libarrow.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace hici::data {

// The Arrow files of a split, in the order of state.json. Names are plain names; everything else is an error, and so is
// a split whose rows are chosen by an index file (datasets before 2.0 wrote such).
std::vector<std::filesystem::path> arrow_files(const std::filesystem::path& folder, const std::string& split);

}  // namespace hici::data
