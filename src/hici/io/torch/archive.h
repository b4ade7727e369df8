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
  std::string read_text(const std::string& record, uint64_t max_bytes) const;

 private:
  TorchArchive(std::shared_ptr<caffe2::serialize::ReadAdapterInterface> bytes, std::string subject);
  template <typename F>
  void translated(const F& call) const;

  std::string subject_;
  std::map<std::string, ZipRecord> records_;
  std::unique_ptr<caffe2::serialize::PyTorchStreamReader> reader_;
};

}  // namespace hici::io
