// SPDX-License-Identifier: Apache-2.0
// write_corpus FOLDER: the seeds of every target as files FOLDER/NAME/0, 1, ..., for libFuzzer to start from.
#include "fuzz/fuzz_target.h"

#include "hici/base/file.h"

#include <iostream>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: write_corpus FOLDER\n";
    return 2;
  }
  for (const hici::fuzz::TargetEntry& target : hici::fuzz::all_targets()) {
    const std::filesystem::path folder = std::filesystem::path(argv[1]) / target.name;
    std::filesystem::create_directories(folder);
    size_t count = 0;
    for (const std::string& seed : target.seeds()) hici::write_file_atomically(folder / std::to_string(count++), seed);
    std::cout << folder.string() << ": " << count << '\n';
  }
  return 0;
}
