// SPDX-License-Identifier: Apache-2.0
#include "hici/io/torch/zip_directory.h"

#include "hici/base/error.h"
#include "hici/base/json.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <vector>

namespace hici::io {
namespace {

constexpr uint64_t kMaxRecords = uint64_t{1} << 20;
constexpr uint64_t kMaxDirectoryBytes = uint64_t{64} << 20;
constexpr size_t kMaxNameLength = 512;
constexpr uint64_t kFull16 = 0xffff, kFull32 = 0xffffffff;  // "see the ZIP64 field"

// Sizes of the fixed parts.
constexpr uint64_t kEndBytes = 22, kLocatorBytes = 20, kEnd64Bytes = 56, kEntryBytes = 46, kLocalBytes = 30;

// A little-endian number; the caller knows that it is there.
uint64_t number(std::string_view bytes, size_t at, size_t width) {
  uint64_t value = 0;
  for (size_t i = 0; i < width; ++i) value |= uint64_t{static_cast<unsigned char>(bytes[at + i])} << (8 * i);
  return value;
}

bool starts_with(std::string_view bytes, std::string_view signature) {
  return bytes.substr(0, signature.size()) == signature;
}

struct EndRecord {
  uint64_t num_records;
  uint64_t bytes;
  uint64_t offset;
  uint64_t end;  // where what follows the directory begins
};

struct Entry {
  std::string name;
  ZipRecord record;
};

class DirectoryReader {
 public:
  DirectoryReader(const ReadRange& read, uint64_t file_size, const std::string& subject)
      : read_(read), file_size_(file_size), subject_(subject) {}

  std::map<std::string, ZipRecord> run() {
    end_record_ = find();
    HICI_CHECK(end_record_.num_records <= kMaxRecords && end_record_.bytes <= kMaxDirectoryBytes, subject_, ": has ",
               end_record_.num_records, " records, more than the ", kMaxRecords, " allowed");
    check(end_record_.offset <= end_record_.end && end_record_.bytes == end_record_.end - end_record_.offset,
          "the zip directory does not end where it should");
    directory_ = read_(end_record_.offset, end_record_.bytes);
    std::vector<Entry> entries;
    for (uint64_t i = 0; i < end_record_.num_records; ++i) entries.push_back(next_entry());
    check(at_ == directory_.size(), "the zip directory holds more than its records");
    check_layout(entries);
    return by_name(entries);
  }

 private:
  template <typename... Parts>
  void check(bool holds, const Parts&... parts) const {
    HICI_CHECK(holds, subject_, ": damaged archive: ", parts..., "; fetch the file again");
  }

  template <typename... Parts>
  void check_record(bool holds, const std::string& name, const Parts&... parts) const {
    HICI_CHECK(holds, subject_, ": record '", printable(name), "' ", parts...);
  }

  // From the end record, which closes the file. In a ZIP64 archive it says the same as far as its fields reach.
  EndRecord find() const {
    check(file_size_ >= kEndBytes, file_size_, " bytes are no archive");
    const std::string end = read_(file_size_ - kEndBytes, kEndBytes);
    check(starts_with(end, std::string_view("PK\5\6\0\0\0\0", 8)) && number(end, 20, 2) == 0,
          "no zip directory at its end, it was cut short");
    const EndRecord small{number(end, 10, 2), number(end, 12, 4), number(end, 16, 4), file_size_ - kEndBytes};
    check(number(end, 8, 2) == small.num_records, "the zip directory is split");
    if (small.end < kLocatorBytes) return small;
    const std::string locator = read_(small.end - kLocatorBytes, kLocatorBytes);
    if (!starts_with(locator, "PK\6\7")) return small;
    const EndRecord large = find64(locator, small.end - kLocatorBytes);
    const auto agrees = [](uint64_t is, uint64_t field, uint64_t full) { return field == full || field == is; };
    check(agrees(large.num_records, small.num_records, kFull16) && agrees(large.bytes, small.bytes, kFull32) &&
              agrees(large.offset, small.offset, kFull32),
          "its two zip directories differ");
    return large;
  }

  EndRecord find64(std::string_view locator, uint64_t locator_offset) const {
    check(locator_offset >= kEnd64Bytes && number(locator, 8, 8) == locator_offset - kEnd64Bytes &&
              number(locator, 4, 4) == 0 && number(locator, 16, 4) == 1,
          "its ZIP64 locator points elsewhere");
    const uint64_t offset = locator_offset - kEnd64Bytes;
    const std::string end = read_(offset, kEnd64Bytes);
    check(starts_with(end, "PK\6\6") && number(end, 4, 8) == kEnd64Bytes - 12 && number(end, 16, 8) == 0 &&
              number(end, 24, 8) == number(end, 32, 8),
          "its ZIP64 end record is not one");
    return {number(end, 32, 8), number(end, 40, 8), number(end, 48, 8), offset};
  }

  std::string_view take(uint64_t count) {
    check(count <= directory_.size() - at_, "the zip directory ends early");
    const std::string_view out = std::string_view(directory_).substr(at_, count);
    at_ += count;
    return out;
  }

  Entry next_entry() {
    const std::string_view fixed = take(kEntryBytes);
    check(starts_with(fixed, "PK\1\2"), "the zip directory holds something else than records");
    Entry entry{std::string(take(number(fixed, 28, 2))), {}};
    const std::string_view extra = take(number(fixed, 30, 2));
    take(number(fixed, 32, 2));  // comment
    const std::string& name = entry.name;
    const bool is_clean = std::all_of(name.begin(), name.end(), [](unsigned char c) { return c >= ' ' && c != '\\'; });
    check_record(!name.empty() && name.size() <= kMaxNameLength && is_clean, name,
                 "has a name that torch.save does not give; the file is damaged");
    const uint64_t flags = number(fixed, 8, 2);
    constexpr uint64_t kSizesFollow = 1 << 3, kIsUtf8 = 1 << 11;
    check_record((flags & ~(kSizesFollow | kIsUtf8)) == 0 && number(fixed, 34, 2) == 0, name,
                 "is encrypted or split, which is not read; save it again");
    // LibTorch's zip code takes a record with this attribute for a folder and hands out memory that it never filled.
    constexpr uint64_t kIsFolder = 0x10;
    check_record((number(fixed, 38, 4) & kIsFolder) == 0 && name.back() != '/', name,
                 "is a folder, which torch.save never writes; the file is damaged");
    ZipRecord& record = entry.record;
    record = {.header_offset = number(fixed, 42, 4),
              .packed_bytes = number(fixed, 20, 4),
              .size_bytes = number(fixed, 24, 4),
              .method = number(fixed, 10, 2),
              .crc32 = static_cast<uint32_t>(number(fixed, 16, 4))};
    fill_from_zip64(extra, {&record.size_bytes, &record.packed_bytes, &record.header_offset});
    check_record(record.method != 0 || record.size_bytes == record.packed_bytes, name, "gives two sizes, ",
                 record.size_bytes, " and ", record.packed_bytes, "; the file is damaged");
    return entry;
  }

  // Extra field 1 holds, in this order, those of the three that did not fit 32 bits.
  void fill_from_zip64(std::string_view extra, std::initializer_list<uint64_t*> fields) const {
    while (extra.size() >= 4) {
      const uint64_t id = number(extra, 0, 2), length = number(extra, 2, 2);
      check(length <= extra.size() - 4, "an extra field of the zip directory ends early");
      std::string_view content = extra.substr(4, length);
      extra.remove_prefix(4 + length);
      if (id != 1) continue;
      for (uint64_t* field : fields) {
        if (*field != kFull32) continue;
        check(content.size() >= 8, "a ZIP64 field of the zip directory ends early");
        *field = number(content, 0, 8);
        content.remove_prefix(8);
      }
      return;
    }
  }

  // Each record lies between its header and the next one's, or the directory; its header names it.
  void check_layout(std::vector<Entry>& entries) const {
    std::sort(entries.begin(), entries.end(),
              [](const Entry& a, const Entry& b) { return a.record.header_offset < b.record.header_offset; });
    for (size_t i = 0; i < entries.size(); ++i) {
      auto& [name, record] = entries[i];
      const uint64_t end = i + 1 < entries.size() ? entries[i + 1].record.header_offset : end_record_.offset;
      const uint64_t header_bytes = kLocalBytes + name.size();
      check_record(
          end <= end_record_.offset && record.header_offset <= end && header_bytes <= end - record.header_offset, name,
          "overlaps what follows it; the file is damaged");
      const std::string header = read_(record.header_offset, header_bytes);
      check_record(starts_with(header, "PK\3\4") && number(header, 8, 2) == record.method &&
                       number(header, 26, 2) == name.size() && std::string_view(header).substr(kLocalBytes) == name,
                   name, "has a header that says otherwise; the file is damaged");
      const uint64_t space = end - record.header_offset - header_bytes;
      const uint64_t extra = number(header, 28, 2);
      check_record(extra <= space && record.packed_bytes <= space - extra, name, "promises ", record.packed_bytes,
                   " bytes, ", extra <= space ? space - extra : 0, " are there; the file is damaged");
      record.data_offset = record.header_offset + header_bytes + extra;
    }
  }

  std::map<std::string, ZipRecord> by_name(const std::vector<Entry>& entries) const {
    std::map<std::string, ZipRecord> records;
    std::set<std::string> lower_names;
    for (const auto& [name, record] : entries) {
      std::string lower = name;
      for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
      check_record(lower_names.insert(lower).second, name, "is there twice; the file is damaged");
      records.emplace(name, record);
    }
    return records;
  }

  const ReadRange& read_;
  uint64_t file_size_;
  const std::string& subject_;
  EndRecord end_record_{};
  std::string directory_;
  size_t at_ = 0;
};

}  // namespace

std::map<std::string, ZipRecord> read_zip_directory(const ReadRange& read, uint64_t file_size,
                                                    const std::string& subject) {
  return DirectoryReader(read, file_size, subject).run();
}

}  // namespace hici::io
