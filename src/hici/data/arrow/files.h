// SPDX-License-Identifier: Apache-2.0
// The files of an Arrow data set: of a folder that `datasets.save_to_disk` wrote (dataset_dict.json names splits,
// SPLIT/state.json lists Arrow IPC stream files), of a folder of Parquet files (parquet_folder.h), or one .arrow or
// Parquet file. Nothing here needs libarrow.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace hici::data {

// By its ending (.parquet) or its first bytes.
bool is_parquet(const std::filesystem::path& path);

// A folder of save_to_disk or of Parquet files, a .arrow file or a Parquet file. Any other folder is none.
bool is_arrow_data(const std::filesystem::path& path);

// The Arrow files of a split, in the order of state.json; a file is its own. Names are plain names; everything else is
// an error, and so is a split without rows, or one whose rows are chosen by an index file (datasets before 2.0 wrote
// such).
std::vector<std::filesystem::path> arrow_files(const std::filesystem::path& path, const std::string& split);

}  // namespace hici::data
