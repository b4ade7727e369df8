// SPDX-License-Identifier: Apache-2.0
// The central directory of a zip archive, for the strict form that torch.save writes: records one after the other, none
// twice. Needed beside LibTorch's reader because that shows neither checksums nor methods.
// Format: PKWARE's APPNOTE.TXT, 4.3 and 4.5.3 (ZIP64)
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

namespace hici::io {

struct ZipRecord {
  uint64_t header_offset = 0;  // of its local header
  uint64_t data_offset = 0;
  uint64_t packed_bytes = 0;  // in the archive
  uint64_t size_bytes = 0;    // unpacked
  uint64_t method = 0;        // 0: stored, the two sizes are the same
  uint32_t crc32 = 0;         // of the unpacked bytes
};

// Bytes [offset, offset + count) of the archive; never asked for what lies outside.
using ReadRange = std::function<std::string(uint64_t offset, uint64_t count)>;

// All records by their full names. An hici::Error when the directory does not end the file; when a record is a folder,
// encrypted, named twice (LibTorch does not tell upper from lower case) or overlaps another; when a local header names
// another.
std::map<std::string, ZipRecord> read_zip_directory(const ReadRange& read, uint64_t file_size,
                                                    const std::string& subject);

}  // namespace hici::io
