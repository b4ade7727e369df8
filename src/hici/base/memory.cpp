// SPDX-License-Identifier: Apache-2.0
#include "hici/base/memory.h"

#include <malloc.h>

#include <algorithm>
#include <fstream>
#include <mutex>
#include <string>
#include <vector>

namespace hici {
namespace {

std::mutex reserves_mutex;
std::vector<void (*)()> reserves;

// A line of a file of /proc such as "VmHWM:     1234 kB", in bytes.
int64_t bytes_of_line(const char* file, const std::string& key) {
  std::ifstream status(file);
  std::string word;
  while (status >> word) {
    int64_t kilobytes = 0;
    if (word == key + ":" && status >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

}  // namespace

int64_t resident_bytes() { return bytes_of_line("/proc/self/status", "VmRSS"); }

int64_t peak_resident_bytes() { return bytes_of_line("/proc/self/status", "VmHWM"); }

int64_t available_bytes() { return bytes_of_line("/proc/meminfo", "MemAvailable"); }

bool reset_peak_resident() {
  release_freed_memory();
  std::ofstream clear("/proc/self/clear_refs");
  clear << "5" << std::flush;  // 5: reset the peak resident set size (proc(5))
  return clear.good();
}

void release_with_freed_memory(void (*release)()) {
  const std::lock_guard lock(reserves_mutex);
  if (std::find(reserves.begin(), reserves.end(), release) == reserves.end()) reserves.push_back(release);
}

void release_freed_memory() {
  {
    const std::lock_guard lock(reserves_mutex);
    for (void (*release)() : reserves) release();
  }
#ifdef __GLIBC__
  ::malloc_trim(0);
#endif
}

}  // namespace hici
