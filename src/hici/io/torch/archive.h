// SPDX-License-Identifier: Apache-2.0
// The zip archive of torch.save: named records, stored without compression. LibTorch's own reader fetches them; its zip
// code is built without checksums, so that every record is compared here with the CRC-32 of the central directory.
// Older files and TorchScript archives are refused with the way out.
#pragma once

#include "hici/base/file.h"
#include "hici/io/torch/zip_directory.h"

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

namespace caffe2::serialize {
class PyTorchStreamReader;
class ReadAdapterInterface;
}  // namespace caffe2::serialize

namespace hici::io {

// The error for a record whose bytes have another CRC-32 than the archive says: CRC-32 is `found`.
void check_record_checksum(const std::string& subject, const std::string& record, uint32_t expected, uint32_t found);

class TorchArchive {
 public:
  TorchArchive(const fs::path& path, Links links);
  // `bytes` must outlive the object.
  TorchArchive(std::string_view bytes, const std::string& subject);
  ~TorchArchive();

  const std::string& subject() const { return subject_; }
  // Records are named without the archive's own folder: "data.pkl", "data/0".
  bool has(const std::string& record) const { return records_.count(record) != 0; }
  uint64_t record_bytes(const std::string& record) const { return records_.at(record).size_bytes; }
  // The whole record; `bytes` is its record_bytes(). An error that names it when its checksum is another one.
  void read(const std::string& record, void* out, uint64_t bytes) const;
  // A part of it, without looking at the checksum: for checked_parts.h.
  void read_part(const std::string& record, uint64_t offset, void* out, uint64_t bytes) const;
  // The disk is asked for it, so that a later read waits less.
  void prefetch(const std::string& record, uint64_t offset, uint64_t bytes) const;
  uint32_t checksum(const std::string& record) const { return records_.at(record).crc32; }
  std::string read_text(const std::string& record, uint64_t max_bytes) const;
  // data.pkl, of an archive whose numbers are little-endian; at most 16 MiB: names and shapes of 100,000 tensors take
  // less.
  std::string read_pickle() const;

 private:
  TorchArchive(std::shared_ptr<caffe2::serialize::ReadAdapterInterface> bytes, std::string subject);
  template <typename F>
  void translated(const F& call) const;

  std::string subject_;
  std::map<std::string, ZipRecord> records_;
  std::shared_ptr<caffe2::serialize::ReadAdapterInterface> bytes_;
  std::unique_ptr<caffe2::serialize::PyTorchStreamReader> reader_;
};

}  // namespace hici::io
