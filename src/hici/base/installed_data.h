// SPDX-License-Identifier: Apache-2.0
// Files that come with the program: texts under share/hici, in the build folder and where the program is installed.
#pragma once

#include <filesystem>
#include <vector>

namespace hici {

// The folder of the program that runs, links followed. The CUDA plug-in lies there too.
std::filesystem::path program_folder();

// Where share/hici may be, seen from the program's folder, in this order: in that folder (a Python wheel has all in one
// package folder), beside it (PREFIX/bin, and bin of a build), and above (PREFIX/lib/hici, PREFIX/lib/TRIPLET/hici).
std::vector<std::filesystem::path> data_folders(const std::filesystem::path& program_folder);

// The first of these folders that has the file. Where none has, an error that names them and ends with `way_out`.
std::filesystem::path find_installed_data(const std::filesystem::path& program_folder,
                                          const std::filesystem::path& name, const char* way_out);

}  // namespace hici
