// SPDX-License-Identifier: Apache-2.0
#include "hici/io/torch/checked_parts.h"

#include <zlib.h>

#include <algorithm>
#include <iterator>
#include <vector>

namespace hici::io {
namespace {

constexpr uint64_t kCheckedAtOnce = uint64_t{1} << 18;  // summed up while they are in the cache

}  // namespace

void CheckedParts::read(const std::string& record, uint64_t offset, void* out, uint64_t bytes) {
  for (uint64_t done = 0; done < bytes; done += kCheckedAtOnce) {
    const uint64_t count = std::min(kCheckedAtOnce, bytes - done);
    char* to = static_cast<char*>(out) + done;
    archive_.read_part(record, offset + done, to, count);
    const std::lock_guard lock(mutex_);
    note(record, records_[record], offset + done, to, offset + done + count);
  }
}

// Takes over what no earlier part had. Tensors may share elements.
void CheckedParts::note(const std::string& name, Record& record, uint64_t begin, const void* bytes, uint64_t end) {
  if (record.is_checked) return;
  const auto* data = static_cast<const Bytef*>(bytes);
  for (uint64_t at = begin; at < end;) {
    auto next = record.parts.upper_bound(at);
    if (next != record.parts.begin() && std::prev(next)->second.end > at) {
      at = std::prev(next)->second.end;
      continue;
    }
    const uint64_t until = next == record.parts.end() ? end : std::min(end, next->first);
    const auto crc = static_cast<uint32_t>(::crc32_z(0, data + (at - begin), until - at));
    join(record, record.parts.emplace_hint(next, at, Part{until, crc}));
    at = until;
  }
  const uint64_t size = archive_.record_bytes(name);
  const bool is_whole = size == 0 || (record.parts.size() == 1 && record.parts.begin()->first == 0 &&
                                      record.parts.begin()->second.end == size);
  if (!is_whole) return;
  check_record_checksum(archive_.subject(), name, archive_.checksum(name),
                        size == 0 ? 0 : record.parts.begin()->second.crc32);
  record = {.parts = {}, .is_checked = true};
}

// With its neighbours, so that few parts are kept.
void CheckedParts::join(Record& record, std::map<uint64_t, Part>::iterator part) {
  const auto append = [&](auto first, auto second) {
    const auto length = static_cast<z_off_t>(second->second.end - second->first);
    first->second = {second->second.end,
                     static_cast<uint32_t>(::crc32_combine(first->second.crc32, second->second.crc32, length))};
    record.parts.erase(second);
  };
  const auto next = std::next(part);
  if (next != record.parts.end() && next->first == part->second.end) append(part, next);
  if (part == record.parts.begin()) return;
  const auto previous = std::prev(part);
  if (previous->second.end == part->first) append(previous, part);
}

void CheckedParts::finish() {
  const std::lock_guard lock(mutex_);
  std::vector<char> piece(kCheckedAtOnce);
  for (auto& [name, record] : records_) {
    const uint64_t size = archive_.record_bytes(name);
    while (!record.is_checked) {
      const bool begins = !record.parts.empty() && record.parts.begin()->first == 0;
      const uint64_t at = begins ? record.parts.begin()->second.end : 0;
      const auto next = record.parts.upper_bound(at);
      const uint64_t end = std::min({size, at + kCheckedAtOnce, next == record.parts.end() ? size : next->first});
      archive_.read_part(name, at, piece.data(), end - at);
      note(name, record, at, piece.data(), end);
    }
  }
}

}  // namespace hici::io
