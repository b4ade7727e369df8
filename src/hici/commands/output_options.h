// SPDX-License-Identifier: Apache-2.0
// What commands share that write files which a user names. Places are looked at before any work
// (base/output_place.h); these say when a file may be replaced, and that a result is shown whatever becomes of its
// file.
#pragma once

#include "hici/commands/command.h"

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace hici::commands {

// --overwrite, of commands whose files hold work of hours, or something that cannot be made again.
struct OverwriteOption {
  bool overwrite = false;

  void bind(CLI::App& app);
  // For each file that is there asks the person at the terminal; where there is none, or with "no", it is an
  // hici::Error that says the way out. Empty paths are passed over.
  void check(const std::vector<std::filesystem::path>& files) const;
};

// What a stopped evaluation says behind "stopped by signal 15".
constexpr const char* kAnswersAreKept = "; what is answered is kept, give --resume to go on from there";

// Calls `write` and shows `text` on stdout, each whatever happens to the other; a failure of `write` passes through.
void show_and_write(const std::string& text, const std::function<void()>& write);

}  // namespace hici::commands
