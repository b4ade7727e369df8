// SPDX-License-Identifier: Apache-2.0
// Files whose names begin with a number, as LongEval has them: 5_topics.jsonl, 10_topics.jsonl; 5_response.txt.
#pragma once

#include <filesystem>
#include <string_view>
#include <vector>

namespace hici::eval {

// The regular files whose names end in `name_end`, of `folder` and the folders in it (two levels), by folder and
// number: 5_topics.jsonl stands before 10_topics.jsonl.
std::vector<std::filesystem::path> find_numbered_files(const std::filesystem::path& folder, std::string_view name_end);

// `digits` as numbers are written: without zeros in front, one of which stays if there is nothing else.
std::string_view without_leading_zeros(std::string_view digits);

}  // namespace hici::eval
