// SPDX-License-Identifier: Apache-2.0
// One file of weights, whichever form it has.
#pragma once

#include "hici/base/links.h"
#include "hici/io/checkpoint/folder_check.h"
#include "hici/io/tensor_source.h"

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

namespace hici::io {

// A .safetensors, or a .bin, .pt or .pth of torch.save, told apart by their name.
// `links`: kData where the user named the folder alone. `check`: of its folder, or null.
std::shared_ptr<const TensorSource> open_weight_file(const std::filesystem::path& path, Links links,
                                                     FolderCheck* check = nullptr);

// The weights that lie in `dir` under one of the usual names, `stem` first as safetensors, then as .bin:
// STEM.safetensors, STEM.safetensors.index.json, BIN_STEM.bin, BIN_STEM.bin.index.json. Null when none of them is
// there. `files` receives the files with data, in the order of their names.
struct OpenedWeights {
  std::shared_ptr<const TensorSource> source;
  std::vector<std::filesystem::path> files;
};
OpenedWeights open_weights(const std::filesystem::path& dir, const std::string& stem, const std::string& bin_stem,
                           FolderCheck* check = nullptr);

}  // namespace hici::io
