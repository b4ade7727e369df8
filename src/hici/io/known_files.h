// SPDX-License-Identifier: Apache-2.0
// The file names that readers look for in a folder of a model, an adapter or a checkpoint. The mere existence of such a
// file changes what is read.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace hici::io {

// Configs, weights and their indexes, training state, tokenizer and chat templates; manifest.json is not among them.
// The names of shards are in their index.
const std::vector<std::string>& files_read_by_name();

// Of these, the files that a copy of a model includes if they exist: tokenizer, chat template, generation config.
const std::vector<std::string>& companion_files();

// Companion files that belong together: a tokenizer, its chat templates, the generation config.
struct CompanionGroup {
  const char* name;  // in messages
  std::vector<std::string> files, folders;
  // True for a folder that has the group of its own. A tokenizer_config.json may hold the chat template.
  bool (*is_in)(const std::filesystem::path& folder);
};
const std::vector<CompanionGroup>& companion_groups();
// The folder that a group's files are taken from: `first` where that has them (it may be empty), else `from`.
std::filesystem::path companion_folder(std::string_view group, const std::filesystem::path& from,
                                       const std::filesystem::path& first);

// True for a folder that holds only files of a checkpoint's writer, under final or temporary names; also for an empty
// one.
bool holds_only_checkpoint_files(const std::filesystem::path& folder);

}  // namespace hici::io
