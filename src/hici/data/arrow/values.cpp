// SPDX-License-Identifier: Apache-2.0
#include "hici/data/arrow/values.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/base/shown_name.h"
#include "hici/data/json_rows.h"
#include "hici/text/utf8.h"

#include <arrow/extension_type.h>
#include <arrow/type.h>
#include <arrow/util/float16.h>

#include <chrono>
#include <cmath>
#include <cstdio>

namespace hici::data {
namespace {

using Json = nlohmann::ordered_json;

[[noreturn]] void fail_type(const arrow::Array& array, const std::string& subject) {
  fail(subject, ": holds ", shown_name(array.type()->ToString()),
       ", which has no form here; expected text, numbers, dates, and lists and structs of them: cast the column");
}

template <typename List>
Json list_to_json(const arrow::Array& array, int64_t row, const std::string& subject) {
  const auto& list = static_cast<const List&>(array);
  Json out = Json::array();
  for (int64_t i = 0; i < list.value_length(row); ++i) {
    out.push_back(arrow_to_json(*list.values(), list.value_offset(row) + i, subject));
  }
  return out;
}

Json struct_to_json(const arrow::StructArray& array, int64_t row, const std::string& subject) {
  const arrow::DataType& type = *array.type();
  const bool is_message = static_cast<const arrow::StructType&>(type).GetFieldIndex("role") >= 0;
  Json out = Json::object();
  for (int i = 0; i < array.num_fields(); ++i) {
    const std::string& name = type.field(i)->name();
    Json member = arrow_to_json(*array.field(i), row, subject);
    if (!member.is_null() || (is_message && name == "content")) out[name] = std::move(member);
  }
  return out;
}

template <typename Array>
Json value_of(const arrow::Array& array, int64_t row) {
  return static_cast<const Array&>(array).Value(row);
}

Json finite(double value, const std::string& subject) {
  HICI_CHECK(std::isfinite(value), subject, ": is ", value, ", which JSON and a chat template have no form for");
  return value;
}

Json text_to_json(const arrow::Array& array, int64_t row, const std::string& subject) {
  const std::string_view bytes = *bytes_at(array, row);
  const size_t valid = text::valid_utf8_prefix(bytes).valid_bytes;
  HICI_CHECK(valid == bytes.size(), subject, ": is not UTF-8 at byte ", valid);
  return bytes;
}

Json parsed(const arrow::Array& array, int64_t row, const std::string& subject) {
  const Json text = arrow_to_json(array, row, subject);
  if (!text.is_string()) return text;
  const auto& bytes = text.get_ref<const std::string&>();
  parse_json(bytes, subject, kMaxRowBytes);
  return Json::parse(bytes);
}

std::string date_text(std::chrono::sys_days day) {
  const std::chrono::year_month_day date(day);
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%04d-%02u-%02u", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()));
  return text.data();
}

int64_t ticks_in_a_second(arrow::TimeUnit::type unit) {
  constexpr std::array<int64_t, 4> kTicks{1, 1000, 1000000, 1000000000};
  return kTicks[static_cast<size_t>(unit)];
}

// "13:05:09", with six digits of a fraction where there is one, and nine where six do not hold it.
std::string clock_text(int64_t seconds, int64_t nanoseconds) {
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%02d:%02d:%02d", static_cast<int>(seconds / 3600),
                static_cast<int>(seconds / 60 % 60), static_cast<int>(seconds % 60));
  std::string out = text.data();
  if (nanoseconds == 0) return out;
  const bool is_fine = nanoseconds % 1000 != 0;
  std::snprintf(text.data(), text.size(), is_fine ? ".%09d" : ".%06d",
                static_cast<int>(is_fine ? nanoseconds : nanoseconds / 1000));
  return out.append(text.data());
}

constexpr int64_t kSecondsOfADay = 86400;

std::string moment_text(int64_t ticks, arrow::TimeUnit::type unit) {
  const int64_t in_a_second = ticks_in_a_second(unit);
  const int64_t rest = (ticks % in_a_second + in_a_second) % in_a_second, seconds = (ticks - rest) / in_a_second;
  const int64_t second = (seconds % kSecondsOfADay + kSecondsOfADay) % kSecondsOfADay;
  const std::chrono::sys_days day{std::chrono::days{(seconds - second) / kSecondsOfADay}};
  return date_text(day).append(" ").append(clock_text(second, rest * (1000000000 / in_a_second)));
}

Json timestamp_to_json(const arrow::Array& array, int64_t row, const std::string& subject) {
  const auto& type = static_cast<const arrow::TimestampType&>(*array.type());
  const std::string& zone = type.timezone();
  const bool is_utc = zone == "UTC" || zone == "+00:00" || zone == "Etc/UTC" || zone == "GMT";
  HICI_CHECK(zone.empty() || is_utc, subject, ": is a time of zone ", shown_name(zone),
             "; cast the column to UTC or text");
  return moment_text(static_cast<const arrow::TimestampArray&>(array).Value(row), type.unit()) +
         (is_utc ? "+00:00" : "");
}

template <typename Array>
Json time_to_json(const arrow::Array& array, int64_t row) {
  const auto& type = static_cast<const arrow::TimeType&>(*array.type());
  const int64_t ticks = static_cast<const Array&>(array).Value(row), in_a_second = ticks_in_a_second(type.unit());
  return clock_text(ticks / in_a_second, ticks % in_a_second * (1000000000 / in_a_second));
}

template <typename Array>
Json decimal_to_json(const arrow::Array& array, int64_t row) {
  return static_cast<const Array&>(array).FormatValue(row);
}

// Dates, times and decimals: nothing for another type.
std::optional<Json> calendar_value(const arrow::Array& array, int64_t row, const std::string& subject) {
  using std::chrono::days, std::chrono::sys_days;
  switch (array.type_id()) {
    case arrow::Type::DATE32:
      return date_text(sys_days{days{static_cast<const arrow::Date32Array&>(array).Value(row)}});
    case arrow::Type::DATE64:
      return date_text(sys_days{days{static_cast<const arrow::Date64Array&>(array).Value(row) / 86400000}});
    case arrow::Type::TIMESTAMP:
      return timestamp_to_json(array, row, subject);
    case arrow::Type::TIME32:
      return time_to_json<arrow::Time32Array>(array, row);
    case arrow::Type::TIME64:
      return time_to_json<arrow::Time64Array>(array, row);
    case arrow::Type::DECIMAL32:
      return decimal_to_json<arrow::Decimal32Array>(array, row);
    case arrow::Type::DECIMAL64:
      return decimal_to_json<arrow::Decimal64Array>(array, row);
    case arrow::Type::DECIMAL128:
      return decimal_to_json<arrow::Decimal128Array>(array, row);
    case arrow::Type::DECIMAL256:
      return decimal_to_json<arrow::Decimal256Array>(array, row);
    default:
      return std::nullopt;
  }
}

std::optional<Json> number_value(const arrow::Array& array, int64_t row, const std::string& subject) {
  switch (array.type_id()) {
    case arrow::Type::BOOL:
      return value_of<arrow::BooleanArray>(array, row);
    case arrow::Type::INT8:
      return value_of<arrow::Int8Array>(array, row);
    case arrow::Type::INT16:
      return value_of<arrow::Int16Array>(array, row);
    case arrow::Type::INT32:
      return value_of<arrow::Int32Array>(array, row);
    case arrow::Type::INT64:
      return value_of<arrow::Int64Array>(array, row);
    case arrow::Type::UINT8:
      return value_of<arrow::UInt8Array>(array, row);
    case arrow::Type::UINT16:
      return value_of<arrow::UInt16Array>(array, row);
    case arrow::Type::UINT32:
      return value_of<arrow::UInt32Array>(array, row);
    case arrow::Type::UINT64:
      return value_of<arrow::UInt64Array>(array, row);
    case arrow::Type::HALF_FLOAT:
      return finite(
          arrow::util::Float16::FromBits(static_cast<const arrow::HalfFloatArray&>(array).Value(row)).ToDouble(),
          subject);
    case arrow::Type::FLOAT:
      return finite(static_cast<const arrow::FloatArray&>(array).Value(row), subject);
    case arrow::Type::DOUBLE:
      return finite(static_cast<const arrow::DoubleArray&>(array).Value(row), subject);
    default:
      return std::nullopt;
  }
}

Json nested_value(const arrow::Array& array, int64_t row, const std::string& subject) {
  switch (array.type_id()) {
    case arrow::Type::LIST:
      return list_to_json<arrow::ListArray>(array, row, subject);
    case arrow::Type::LARGE_LIST:
      return list_to_json<arrow::LargeListArray>(array, row, subject);
    case arrow::Type::LIST_VIEW:
      return list_to_json<arrow::ListViewArray>(array, row, subject);
    case arrow::Type::LARGE_LIST_VIEW:
      return list_to_json<arrow::LargeListViewArray>(array, row, subject);
    case arrow::Type::FIXED_SIZE_LIST:
      return list_to_json<arrow::FixedSizeListArray>(array, row, subject);
    case arrow::Type::STRUCT:
      return struct_to_json(static_cast<const arrow::StructArray&>(array), row, subject);
    case arrow::Type::DICTIONARY: {
      const auto& encoded = static_cast<const arrow::DictionaryArray&>(array);
      return arrow_to_json(*encoded.dictionary(), encoded.GetValueIndex(row), subject);
    }
    case arrow::Type::EXTENSION: {
      const auto& extended = static_cast<const arrow::ExtensionArray&>(array);
      const bool is_json = extended.extension_type()->extension_name() == "arrow.json";
      return is_json ? parsed(*extended.storage(), row, subject) : arrow_to_json(*extended.storage(), row, subject);
    }
    default:
      fail_type(array, subject);
  }
}

}  // namespace

std::optional<std::string_view> bytes_at(const arrow::Array& array, int64_t row) {
  if (array.IsNull(row)) return std::nullopt;
  switch (array.type_id()) {
    case arrow::Type::STRING:
    case arrow::Type::BINARY:
      return static_cast<const arrow::BinaryArray&>(array).GetView(row);
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY:
      return static_cast<const arrow::LargeBinaryArray&>(array).GetView(row);
    case arrow::Type::STRING_VIEW:
    case arrow::Type::BINARY_VIEW:
      return static_cast<const arrow::BinaryViewArray&>(array).GetView(row);
    default: {
      const auto& encoded = static_cast<const arrow::DictionaryArray&>(array);
      return bytes_at(*encoded.dictionary(), encoded.GetValueIndex(row));
    }
  }
}

Json arrow_to_json(const arrow::Array& array, int64_t row, const std::string& subject) {
  if (array.IsNull(row)) return nullptr;
  switch (array.type_id()) {
    case arrow::Type::NA:
      return nullptr;
    case arrow::Type::STRING:
    case arrow::Type::LARGE_STRING:
    case arrow::Type::STRING_VIEW:
    case arrow::Type::BINARY:
    case arrow::Type::LARGE_BINARY:
    case arrow::Type::BINARY_VIEW:
      return text_to_json(array, row, subject);
    default:
      break;
  }
  if (std::optional<Json> number = number_value(array, row, subject)) return std::move(*number);
  if (std::optional<Json> moment = calendar_value(array, row, subject)) return std::move(*moment);
  return nested_value(array, row, subject);
}

}  // namespace hici::data
