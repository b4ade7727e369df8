// SPDX-License-Identifier: Apache-2.0
// Memory of this process as the kernel counts it (resident set), and of the machine, in bytes; 0 where the kernel does
// not say.
#pragma once

#include <cstdint>

namespace hici {

int64_t resident_bytes();

// What the machine could give to processes without swapping.
int64_t available_bytes();

// The largest resident set since the start of the process, or since reset_peak_resident() where that worked.
int64_t peak_resident_bytes();

// Makes peak_resident_bytes() start again from the present size, less what is freed (release_freed_memory()); false
// where the kernel does not allow it.
bool reset_peak_resident();

// Hands what was freed back to the kernel. The C library keeps pieces below 32 MB, and work on one large piece after
// the other would otherwise hold a few of the past ones.
void release_freed_memory();

// release_freed_memory() calls `release` too, which gives back what somebody else has kept.
void release_with_freed_memory(void (*release)());

}  // namespace hici
