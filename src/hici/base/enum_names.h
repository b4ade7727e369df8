// SPDX-License-Identifier: Apache-2.0
// The names of an enum's values, in one table beside the enum:
//
//   enum class Truncation { kError, kMiddle };
//   constexpr EnumNames<Truncation, 2> names_of(Truncation) {
//     return {"way", {{{Truncation::kError, "error"}, {Truncation::kMiddle, "middle"}}}};
//   }
//
// name_of(value), find_enum<Truncation>(text) and parse_enum<Truncation>(text, "`truncate`") come from that.
#pragma once

#include "hici/base/error.h"

#include <array>
#include <optional>
#include <string_view>
#include <vector>

namespace hici {

template <typename E>
struct EnumName {
  E value;
  const char* name;
};

template <typename E, size_t N>
struct EnumNames {
  const char* what;  // what a value is called in messages: "prompt style"
  std::array<EnumName<E>, N> all;
};

template <typename E>
concept NamedEnum = requires(E value) { names_of(value).all; };

template <NamedEnum E>
constexpr const char* name_of(E value) {
  const auto names = names_of(value);
  for (const EnumName<E>& each : names.all) {
    if (each.value == value) return each.name;
  }
  HICI_ASSERT(false, "a ", names.what, " without a name");
  return "";
}

template <NamedEnum E>
std::optional<E> find_enum(std::string_view text) {
  const auto names = names_of(E{});
  for (const EnumName<E>& each : names.all) {
    if (text == each.name) return each.value;
  }
  return std::nullopt;
}

namespace detail {
[[noreturn]] void fail_unknown_name(std::string_view subject, const char* what, std::string_view text,
                                    const std::vector<const char*>& names);
}  // namespace detail

// The value that `text` names. Any other text is an error that lists the names: a usage error where `subject` is a
// field or an option (base/field_text.h), else a bad file.
template <NamedEnum E>
E parse_enum(std::string_view text, std::string_view subject) {
  if (const std::optional<E> found = find_enum<E>(text)) return *found;
  const auto names = names_of(E{});
  std::vector<const char*> known;
  for (const EnumName<E>& each : names.all) known.push_back(each.name);
  detail::fail_unknown_name(subject, names.what, text, known);
}

}  // namespace hici
