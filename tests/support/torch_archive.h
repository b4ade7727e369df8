// SPDX-License-Identifier: Apache-2.0
// Files of torch.save, made byte by byte: the pickle that Python writes for a state dict, and a zip archive around it
// with whatever fault a test wants.
#pragma once

#include "hici/base/error.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <zlib.h>

namespace hici::testing {

inline std::string little_endian(uint64_t value, size_t num_bytes) {
  std::string out;
  for (size_t i = 0; i < num_bytes; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
  return out;
}

inline std::string pickled_string(std::string_view text) {
  return detail::concat("X", little_endian(text.size(), 4), text);
}
inline std::string pickled_int(int64_t value) {
  return detail::concat("\x8a\x08", little_endian(static_cast<uint64_t>(value), 8));
}
inline std::string pickled_global(const std::string& module, const std::string& name) {
  return detail::concat("c", module, "\n", name, "\n");
}
inline std::string pickled_ints(const std::vector<int64_t>& values) {
  std::string out = "(";
  for (const int64_t value : values) out += pickled_int(value);
  return out + "t";
}

struct PickledView {
  std::string name;
  std::string key = "0";
  std::string storage_class = "FloatStorage";
  int64_t elements = 0;
  int64_t offset = 0;
  std::vector<int64_t> sizes = {};
  std::vector<int64_t> strides = {};
  std::string more_arguments = "";  // after the backward hooks
};

// The call of torch._utils._rebuild_tensor_v2.
inline std::string pickled_tensor(const PickledView& view) {
  const std::string storage =
      detail::concat("(", pickled_string("storage"), pickled_global("torch", view.storage_class),
                     pickled_string(view.key), pickled_string("cpu"), pickled_int(view.elements), "tQ");
  const std::string hooks = detail::concat(pickled_global("collections", "OrderedDict"), ")R");
  return detail::concat(pickled_global("torch._utils", "_rebuild_tensor_v2"), "(", storage, pickled_int(view.offset),
                        pickled_ints(view.sizes), pickled_ints(view.strides), "\x89", hooks, view.more_arguments, "tR");
}

// {name: value, ...}; each value is the pickle of one object.
inline std::string pickled_dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string out = "\x80\x02}q";
  out += '\0';
  out += "(";
  for (const auto& [name, value] : items) out += pickled_string(name) + value;
  return out + "u.";
}

inline std::string pickled_state_dict(const std::vector<PickledView>& views) {
  std::vector<std::pair<std::string, std::string>> items;
  for (const PickledView& view : views) items.emplace_back(view.name, pickled_tensor(view));
  return pickled_dict(items);
}

struct ZippedRecord {
  std::string name;  // with the archive's folder
  std::string content;
  uint16_t method = 0;
  uint16_t flags = 0;
  uint64_t more_bytes_promised = 0;
  uint32_t attributes = 0;
};

inline uint32_t crc_of(const std::string& content) {
  return static_cast<uint32_t>(
      ::crc32(0, reinterpret_cast<const Bytef*>(content.data()), static_cast<uInt>(content.size())));
}

// Checksum and sizes, as both headers of a record have them.
inline std::string zip_sizes(const ZippedRecord& record) {
  const std::string size = little_endian(record.content.size() + record.more_bytes_promised, 4);
  return detail::concat(little_endian(crc_of(record.content), 4), size, size);
}

// An archive in the small (not ZIP64) form.
inline std::string zip_archive(const std::vector<ZippedRecord>& records) {
  std::string file, directory;
  for (const ZippedRecord& record : records) {
    const std::string common =
        detail::concat(little_endian(record.flags, 2), little_endian(record.method, 2), std::string(4, '\0'),
                       zip_sizes(record), little_endian(record.name.size(), 2));
    directory += detail::concat("PK\1\2", std::string(4, '\0'), common, std::string(8, '\0'),
                                little_endian(record.attributes, 4), little_endian(file.size(), 4), record.name);
    file += detail::concat("PK\3\4", std::string(2, '\0'), common, std::string(2, '\0'), record.name, record.content);
  }
  const std::string count = little_endian(records.size(), 2);
  return detail::concat(file, directory, "PK\5\6", std::string(4, '\0'), count, count,
                        little_endian(directory.size(), 4), little_endian(file.size(), 4), std::string(2, '\0'));
}

// The records of a state dict with the given storages, named 0, 1, ...
inline std::vector<ZippedRecord> torch_records(const std::string& pickle, const std::vector<std::string>& storages) {
  std::vector<ZippedRecord> records = {{.name = "archive/data.pkl", .content = pickle},
                                       {.name = "archive/byteorder", .content = "little"}};
  for (size_t i = 0; i < storages.size(); ++i)
    records.push_back({.name = "archive/data/" + std::to_string(i), .content = storages[i]});
  records.push_back({.name = "archive/version", .content = "3\n"});
  return records;
}

}  // namespace hici::testing
