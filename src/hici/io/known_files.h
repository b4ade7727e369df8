// SPDX-License-Identifier: Apache-2.0
// The names that our readers look for in a folder of a model, an adapter or a checkpoint, in one place: what has one of
// them changes what is read as soon as it is there.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace hici::io {

// Configs, weights and their indexes, training state, tokenizer and chat templates; manifest.json is not among them.
// Shards have names that their index says.
const std::vector<std::string>& files_read_by_name();

// Of these, the files beside the weights that a copy of a model takes along where they are there: tokenizer, chat
// template, generation config.
const std::vector<std::string>& companion_files();

// True for a folder that holds nothing but files which a checkpoint's writer makes, whole or under a temporary name;
// also for an empty one.
bool holds_only_checkpoint_files(const std::filesystem::path& folder);

}  // namespace hici::io
