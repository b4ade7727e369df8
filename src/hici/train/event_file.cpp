// SPDX-License-Identifier: Apache-2.0
#include "hici/train/event_file.h"

#include <unistd.h>

#include <array>
#include <bit>
#include <chrono>
#include <cstring>

namespace hici::train {
namespace {

static_assert(std::endian::native == std::endian::little, "records are written in the byte order of the machine");

// Field numbers of event.proto and summary.proto.
constexpr uint32_t kEventWallTime = 1;
constexpr uint32_t kEventStep = 2;
constexpr uint32_t kEventFileVersion = 3;
constexpr uint32_t kEventSummary = 5;
constexpr uint32_t kEventSessionLog = 7;
constexpr uint32_t kSummaryValue = 1;
constexpr uint32_t kValueTag = 1;
constexpr uint32_t kValueSimpleValue = 2;
constexpr uint32_t kSessionLogStatus = 1;
constexpr uint64_t kSessionStart = 1;

enum class WireType : uint32_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

void put_varint(std::string& out, uint64_t value) {
  for (; value >= 0x80; value >>= 7) out.push_back(static_cast<char>((value & 0x7F) | 0x80));
  out.push_back(static_cast<char>(value));
}

void put_key(std::string& out, uint32_t field, WireType type) {
  put_varint(out, field << 3 | static_cast<uint32_t>(type));
}

template <typename T>
void put_raw(std::string& out, T value) {
  std::array<char, sizeof(T)> bytes{};
  std::memcpy(bytes.data(), &value, sizeof(T));
  out.append(bytes.data(), bytes.size());
}

void put_integer(std::string& out, uint32_t field, uint64_t value) {
  put_key(out, field, WireType::kVarint);
  put_varint(out, value);
}

void put_bytes(std::string& out, uint32_t field, std::string_view bytes) {
  put_key(out, field, WireType::kBytes);
  put_varint(out, bytes.size());
  out.append(bytes);
}

constexpr std::array<uint32_t, 256> make_crc_table() {
  constexpr uint32_t kCastagnoliReversed = 0x82F63B78;
  std::array<uint32_t, 256> table{};
  for (uint32_t i = 0; i < table.size(); ++i) {
    uint32_t crc = i;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? kCastagnoliReversed : 0);
    table[i] = crc;
  }
  return table;
}

// The rotation and the constant keep the crc of data that itself holds crcs from being weak (TFRecord).
uint32_t masked_crc32c(std::string_view bytes) { return std::rotr(detail::crc32c(bytes), 15) + 0xA282EAD8U; }

std::string record_of(std::string_view data) {
  std::string length;
  put_raw(length, static_cast<uint64_t>(data.size()));
  std::string record = length;
  put_raw(record, masked_crc32c(length));
  record.append(data);
  put_raw(record, masked_crc32c(data));
  return record;
}

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// TensorBoard reads the files of a directory in the order of their names, so the time comes first. The number tells
// apart two within a second, of one process or of two with the same id in two containers.
std::filesystem::path new_event_path(const std::filesystem::path& directory) {
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) std::strcpy(host.data(), "localhost");
  const auto seconds = static_cast<int64_t>(seconds_since_1970());
  const std::string name =
      "events.out.tfevents." + std::to_string(seconds) + "." + host.data() + "." + std::to_string(getpid()) + ".";
  for (int number = 0;; ++number) {
    std::filesystem::path path = directory / (name + std::to_string(number));
    if (!std::filesystem::exists(path)) return path;
  }
}

std::string step_field(int64_t step) {
  std::string field;
  put_integer(field, kEventStep, static_cast<uint64_t>(step));
  return field;
}

}  // namespace

EventFileWriter::EventFileWriter(const std::filesystem::path& directory, int64_t first_step)
    : file_(new_event_path(directory), AppendFile::Open::kMustBeNew) {
  std::string version;
  put_bytes(version, kEventFileVersion, "brain.Event:2");
  append_event(version);
  if (first_step <= 0) return;
  std::string start;
  put_integer(start, kSessionLogStatus, kSessionStart);
  std::string restart = step_field(first_step);
  put_bytes(restart, kEventSessionLog, start);
  append_event(restart);
}

bool EventFileWriter::add_scalars(int64_t step, std::span<const Scalar> scalars) {
  std::string summary;
  for (const Scalar& scalar : scalars) {
    std::string value;
    put_bytes(value, kValueTag, scalar.tag);
    put_key(value, kValueSimpleValue, WireType::kFixed32);
    put_raw(value, scalar.value);
    put_bytes(summary, kSummaryValue, value);
  }
  std::string event = step_field(step);
  put_bytes(event, kEventSummary, summary);
  return append_event(event);
}

bool EventFileWriter::append_event(std::string_view body) {
  std::string event;
  put_key(event, kEventWallTime, WireType::kFixed64);
  put_raw(event, seconds_since_1970());
  event.append(body);
  return file_.append(record_of(event));
}

uint32_t detail::crc32c(std::string_view bytes) {
  static constexpr std::array<uint32_t, 256> kTable = make_crc_table();
  uint32_t crc = ~0U;
  for (const char c : bytes) crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(c)) & 0xFF];
  return ~crc;
}

}  // namespace hici::train
