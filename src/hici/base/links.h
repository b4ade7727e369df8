// SPDX-License-Identifier: Apache-2.0
// Which symbolic links are followed when a file is read. What a user names himself may be a link to anywhere. A
// companion is a file whose name he did not type: it was found in a folder, in another file, or made from the name of
// another. A folder that came from somewhere else could have a companion that is a link to a private file, and commands
// copy companions (hici merge) and show parts of them.
#pragma once

#include <filesystem>

namespace hici {

enum class Links {
  kAny,        // the user named the file
  kCompanion,  // within the file's own folder, or within the repository of the Hub cache that the folder belongs to
  kData,       // as kCompanion, and to any file with the same ending or in a Hub cache: large files are often linked in
};

// A descriptor for reading `path`, which the caller closes. Checked is the file that was opened, so that a link that
// changes meanwhile gains nothing. An hici::Error names the link, where it leads and the way out. Does not wait for the
// writer of a pipe.
int open_for_reading(const std::filesystem::path& path, Links links);

}  // namespace hici
