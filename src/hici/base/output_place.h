// SPDX-License-Identifier: Apache-2.0
// Where a command writes: looked at before its work begins, so that no result is lost for want of a place, and filled
// at the end. Missing folders are made; a command that fails before it writes leaves none of them behind.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace hici {

// Makes the folder and the missing ones above it. The destructor removes those that it made and that are empty.
class MadeFolders {
 public:
  explicit MadeFolders(const std::filesystem::path& folder);
  ~MadeFolders();
  MadeFolders(const MadeFolders&) = delete;
  MadeFolders& operator=(const MadeFolders&) = delete;

 private:
  void remove_empty();

  std::vector<std::filesystem::path> made_;  // from the outermost in
};

// An error unless a file can be written under this name: tried, in its folder or where that would be made, without a
// trace. Leftovers of the file (base/temporary.h) go. An empty path is no place, and right.
void check_output_file(const std::filesystem::path& file);

// A file or folder that a command reads, and as what: "--base_model".
struct ReadPlace {
  std::filesystem::path path;  // empty: nothing is read there
  std::string what;
};
using ReadPlaces = std::vector<ReadPlace>;

// What every command of this process reads beside its own: the file of --config.
void note_read_place(ReadPlace place);

// As above, and an error when the file is one of `inputs`, under whatever name (device and inode; while it is not there
// the normalised path), or stands in a folder among them already. A new name in such a folder is right, as results
// beside a checkpoint are, and an earlier result of ours there may be replaced: JSON that names its command, and
// figures, pages and tables (.svg, .html, .htm, .csv, .tex), which nobody reads. Subfolders are not looked into.
void check_output_file(const std::filesystem::path& file, const ReadPlaces& inputs);

// The same for a folder that files go to, made when it is not there.
void check_output_folder(const std::filesystem::path& folder);
// The same for a folder that will be made (or replaced, while it is empty) in one step.
// `inputs`: what the command reads, which is an error where its name is that of a leftover of the folder.
void check_new_folder(const std::filesystem::path& folder, const ReadPlaces& inputs = {});

// Writes the file whole or not at all (base/file.h), in a folder that is made when it is not there.
void write_output_file(const std::filesystem::path& file, std::string_view bytes);

}  // namespace hici
