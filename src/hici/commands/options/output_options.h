// SPDX-License-Identifier: Apache-2.0
// What commands share that write files which a user names. Places are looked at before any work
// (base/output_place.h); these say when a file may be replaced, and that a result is shown whatever becomes of its
// file.
#pragma once

#include "hici/base/output_place.h"
#include "hici/commands/options/option.h"

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace hici::commands {

// --overwrite, of commands whose files hold work of hours, or something that cannot be made again.
struct OverwriteOption : Option<bool> {
  OverwriteOption() : Option(false) {}

  void bind(CLI::App& app);
  // For each file that is there asks the person at the terminal; where there is none, or with "no", it is an
  // hici::Error that says the way out. Empty paths are passed over.
  void check(const std::vector<std::filesystem::path>& files) const;
};

// For check_output_file(): `path` as what `option` names to be read, nothing for an empty one. Of a folder also the
// subfolders that are read through it, checkpoints of a run and splits of a data set; of a tokenizer.json also the
// files beside it that say more of the tokenizer.
void add_read_places(ReadPlaces& places, const std::filesystem::path& path, const std::string& option);
// Of --base_model and --peft_model.
ReadPlaces read_places_of_model(const std::filesystem::path& base_model, const std::filesystem::path& peft_model);
// Of --model where that is a directory and no preset.
ReadPlaces read_places_of_shapes(const std::string& model);
// Of --base_model, --peft_model and --data_path, a token file.
ReadPlaces read_places_of_windows(const std::filesystem::path& base_model, const std::filesystem::path& peft_model,
                                  const std::filesystem::path& data_path);

// What a stopped evaluation says behind "stopped by signal 15".
constexpr const char* kAnswersAreKept = "; what is answered is kept, give --resume to go on from there";

// Writes text() to `file` and says so; does nothing for an empty name.
void write_result(const std::filesystem::path& file, const std::function<std::string()>& text);

// Calls `write` and shows `text` on stdout, each whatever happens to the other; a failure of `write` passes through.
void show_and_write(const std::string& text, const std::function<void()>& write);

}  // namespace hici::commands
