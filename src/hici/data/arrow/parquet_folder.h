// SPDX-License-Identifier: Apache-2.0
// A folder of Parquet files, as data sets lie on the Hub. Nothing here needs libarrow.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace hici::data {

// True for a folder that holds Parquet files, itself or in folders within it, up to eight deep.
bool is_parquet_folder(const std::filesystem::path& folder);

// The files of a split by the rules of datasets.load_dataset, ordered by name: SPLIT-00000-of-00002.parquet; else by a
// word of the name or of a folder within (train, test, validation and their kind); a folder without such words is all
// "train". Errors: no such split, shards that are missing, files of no split beside those of one, several sets of one
// split, and a card (README.md) whose configs give files to other splits than their names.
std::vector<std::filesystem::path> parquet_files(const std::filesystem::path& folder, const std::string& split);

}  // namespace hici::data
