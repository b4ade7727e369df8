// SPDX-License-Identifier: Apache-2.0
// TensorBoard event file. A file is a row of records: uint64 length, masked crc32c of the length, an Event message,
// masked crc32c of the message; the first event states the version. The few protobuf fields that scalars need are
// encoded by hand (tensorboard/compat/proto: event.proto, summary.proto).
#pragma once

#include "hici/base/append_file.h"

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace hici::train {

struct Scalar {
  std::string tag;
  float value = 0;
};

// One writer, one new file for each run. Events are handed to the kernel as they come.
class EventFileWriter {
 public:
  // Makes `events.out.tfevents.TIME.HOST.PID.N` in the directory. With `first_step` > 0 the file begins with the mark
  // of a restart: TensorBoard then drops what an earlier file says of that step and later ones.
  explicit EventFileWriter(const std::filesystem::path& directory, int64_t first_step = 0);

  // False when the disk had no room (AppendFile::append).
  bool add_scalars(int64_t step, std::span<const Scalar> scalars);

  const std::filesystem::path& path() const { return file_.path(); }

 private:
  bool append_event(std::string_view body);

  AppendFile file_;
};

namespace detail {
uint32_t crc32c(std::string_view bytes);
}  // namespace detail

}  // namespace hici::train
