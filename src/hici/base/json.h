// SPDX-License-Identifier: Apache-2.0
// JSON from outside the program: bounded in size and depth before anything is built, no duplicate keys, no NUL, UTF-8
// only;
// and typed access to it whose messages name the file and the key. Every reader of foreign JSON goes through here.
#pragma once

#include <nlohmann/json.hpp>

#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hici {

constexpr size_t kMaxJsonBytes = size_t{64} << 20;
constexpr int kMaxJsonDepth = 64;

// `subject` is the file as the user wrote it. Throws hici::Error that names it and the byte where reading stopped.
nlohmann::json parse_json(std::string_view text, const std::string& subject, size_t max_bytes = kMaxJsonBytes,
                          int max_depth = kMaxJsonDepth);
nlohmann::json read_json_file(const std::filesystem::path& path, size_t max_bytes = kMaxJsonBytes);
// A companion (base/links.h): config.json of a model folder and the like.
nlohmann::json read_companion_json(const std::filesystem::path& path, size_t max_bytes = kMaxJsonBytes);

// Typed view of a JSON object; the object and the subject must outlive it. A key whose value is null counts as absent:
// that is how Python libraries write "not set".
class JsonObject {
 public:
  // Throws when `value` is no object.
  JsonObject(const nlohmann::json& value, std::string subject);

  bool has(const std::string& key) const;
  // The value under a key that must be there.
  const nlohmann::json& at(const std::string& key) const;
  JsonObject object(const std::string& key) const;

  int64_t integer(const std::string& key, int64_t low, int64_t high) const;
  int64_t integer_or(const std::string& key, int64_t absent, int64_t low, int64_t high) const;
  // Finite numbers only; an integer is a number.
  double number(const std::string& key) const;
  double number_or(const std::string& key, double absent) const;
  std::optional<double> optional_number(const std::string& key) const;
  bool boolean_or(const std::string& key, bool absent) const;
  std::string string(const std::string& key) const;
  std::string string_or(const std::string& key, const std::string& absent) const;
  std::vector<std::string> strings(const std::string& key) const;

  const std::string& subject() const { return subject_; }
  const nlohmann::json& value() const { return *value_; }

 private:
  [[noreturn]] void wrong_type(const std::string& key, const char* wanted) const;

  const nlohmann::json* value_;
  std::string subject_;
};

// Text of a foreign file as it stands in a message: printable ASCII, cut when long.
std::string printable(std::string_view text, size_t max_length = 120);

// A value as it stands in a message: one line, cut when long, never more than a few levels deep.
std::string shown_json(const nlohmann::json& value);
// On one line, for a file or another program. Bytes that are no UTF-8 become U+FFFD.
std::string one_line(const nlohmann::json& value);

}  // namespace hici
