// SPDX-License-Identifier: Apache-2.0
// What is being written and not whole yet: `NAME.hici-tmp-0123456789abcdef` beside NAME. The digits are random, since
// process ids repeat in containers, and the entry is made new, so that nothing that lies there is ever taken over. Its
// writer holds a lock on it (flock), which the kernel lets go of when the process ends, however it ends: anybody can
// tell what a dead process left (a leftover) from what is being written, from any container.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string_view>
#include <vector>

namespace hici {

// Bits from the kernel's generator.
uint64_t random_bits();
using RandomBits = std::function<uint64_t()>;

// True for NAME.hici-tmp- and 16 hex digits.
bool is_temporary_name(std::string_view name);

struct TemporaryFile {
  std::filesystem::path path;
  int descriptor = -1;  // open for writing, locked; the caller's to close
};

// A new file beside `target`, which need not be there. A name that leaves no room is cut. An error when it cannot be
// made; a name that is taken is left alone and another one drawn.
TemporaryFile open_temporary_file(const std::filesystem::path& target, const RandomBits& random = random_bits);

// A new folder beside `target`, locked while this object lives and removed with all in it unless it was renamed.
class WorkingFolder {
 public:
  explicit WorkingFolder(const std::filesystem::path& target, const RandomBits& random = random_bits);
  ~WorkingFolder();
  WorkingFolder(const WorkingFolder&) = delete;
  WorkingFolder& operator=(const WorkingFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  // To `name`, in one step: an empty folder there is replaced. False, with errno, when the system refuses.
  bool rename_to(const std::filesystem::path& name);

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

struct Leftover {
  std::filesystem::path path;
  bool is_in_use = true;  // a process that lives holds it, or the file system cannot say
};

// Of `target` (beside it), or of anything in `folder`; sorted. A folder that cannot be read has none.
std::vector<Leftover> leftovers_of(const std::filesystem::path& target);
std::vector<Leftover> leftovers_in(const std::filesystem::path& folder);

// True unless this process got the lock of that file or folder, so that no other process holds it. Where locks are
// missing, or those of folders are known to this machine alone (network file systems), the answer is true.
bool is_in_use(const std::filesystem::path& path);

// Removes those that are not in use, with a line for each.
void remove_leftovers(const std::vector<Leftover>& leftovers);

}  // namespace hici
