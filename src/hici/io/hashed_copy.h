// SPDX-License-Identifier: Apache-2.0
// Bytes of a file to memory, hashed on the way.
#pragma once

#include "hici/base/content_hash.h"
#include "hici/base/file.h"

namespace hici::io {

// Copies [offset, offset + num_bytes) of `file` to `out` and adds the bytes that are there then to `hash`.
void copy_and_hash(const MappedFile& file, uint64_t offset, void* out, size_t num_bytes, ContentHash& hash);

}  // namespace hici::io
