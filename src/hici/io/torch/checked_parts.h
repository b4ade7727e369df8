// SPDX-License-Identifier: Apache-2.0
// Reads parts of the records of an archive of torch.save, where a whole record would need too much memory: a rank of
// DeepSpeed keeps the weights of all layers in one. A part has no checksum of its own. But the CRC-32 of a record
// follows from those of its parts, so that a record is compared as soon as all of it was read.
#pragma once

#include "hici/io/torch/archive.h"

#include <cstdint>
#include <map>
#include <mutex>
#include <string>

namespace hici::io {

// Several threads may use one.
class CheckedParts {
 public:
  // `archive` must outlive the object.
  explicit CheckedParts(const TorchArchive& archive) : archive_(archive) {}

  // Bytes [offset, offset + bytes) of a record of the archive. An error that names the record if these were the last
  // ones and its checksum is another one.
  void read(const std::string& record, uint64_t offset, void* out, uint64_t bytes);

  // Reads what is left of the records that were read in part, and throws if a checksum is another one. What read() gave
  // may be used for good only afterwards.
  void finish();

 private:
  struct Part {
    uint64_t end = 0;
    uint32_t crc32 = 0;
  };
  struct Record {
    std::map<uint64_t, Part> parts;  // by their beginnings; no two touch
    bool is_checked = false;
  };

  void note(const std::string& name, Record& record, uint64_t begin, const void* bytes, uint64_t end);
  static void join(Record& record, std::map<uint64_t, Part>::iterator part);

  const TorchArchive& archive_;
  std::map<std::string, Record> records_;
  std::mutex mutex_;
};

}  // namespace hici::io
