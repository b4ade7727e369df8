// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/config_file.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/json.h"
#include "hici/text/utf8.h"

#include <algorithm>
#include <set>
#include <sstream>
#include <string_view>
#include <system_error>
#include <utility>

namespace hici::commands {
namespace {

constexpr size_t kMaxConfigBytes = size_t{1} << 20;
constexpr const char* kForm = "write one option a line, without dashes, as in learning_rate = 2e-5";

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r'; }
bool begins_comment(char c) { return c == '#' || c == ';'; }

std::string trimmed(std::string_view text) {
  while (!text.empty() && is_space(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_space(text.back())) text.remove_suffix(1);
  return std::string(text);
}

// What is left when the line holds nothing but spaces and a comment is "".
std::string without_comment(std::string_view text) {
  const std::string rest = trimmed(text);
  return !rest.empty() && begins_comment(rest[0]) ? "" : rest;
}

// The quoted values that `text` begins with and has nothing but a comment behind.
std::vector<std::string> quoted_values(std::string text, const std::string& source) {
  std::vector<std::string> values;
  while (!text.empty()) {
    HICI_CHECK_USAGE(text[0] == '"', source, ": ", printable(text),
                     " stands behind a quoted value; put it in quotes, or '#' before a comment");
    std::string value;
    size_t i = 1;
    for (; i < text.size() && text[i] != '"'; ++i) {
      if (text[i] == '\\' && i + 1 < text.size() && (text[i + 1] == '"' || text[i + 1] == '\\')) ++i;
      value += text[i];
    }
    HICI_CHECK_USAGE(i < text.size(), source, ": a quoted value has no end; write \\\" for a quote inside one");
    values.push_back(std::move(value));
    text = without_comment(text.substr(i + 1));
  }
  return values;
}

// Other forms of TOML's, which as they stand would be another value.
bool is_other_toml(const std::string& value) {
  return value.size() > 1 &&
         ((value.front() == '\'' && value.back() == '\'') || (value.front() == '[' && value.back() == ']'));
}

std::vector<std::string> read_values(std::string_view text, const std::string& source) {
  std::string value = trimmed(text);
  if (!value.empty() && value[0] == '"') return quoted_values(value, source);
  HICI_CHECK_USAGE(value.empty() || !begins_comment(value[0]), source, ": ", printable(value),
                   " is a comment where a value belongs; put it in quotes where it is one");
  for (size_t i = 1; i < value.size(); ++i) {
    if (begins_comment(value[i]) && is_space(value[i - 1])) value.resize(i);
  }
  value = trimmed(value);
  HICI_CHECK_USAGE(
      !is_other_toml(value), source, ": ", printable(value), " is a text or list of TOML that is not read; ",
      value[0] == '[' ? "write the values in double quotes, one behind the other" : "write it in double quotes");
  return {value};
}

void check_section(const std::string& line, const std::string& command, const std::string& source) {
  const size_t end = line.find(']');
  const bool is_whole = end != std::string::npos && without_comment(std::string_view(line).substr(end + 1)).empty();
  const std::string name = is_whole ? trimmed(std::string_view(line).substr(1, end - 1)) : "";
  HICI_CHECK_USAGE(name == command || name == "default", source, ": section ", printable(line),
                   " is none of this command; use [", command, "] or [default], or a file of its own");
}

void check_is_file(const std::filesystem::path& file) {
  HICI_CHECK_USAGE(!file.empty(), "--config: '' is no name of a file; give one, or leave --config out");
  std::error_code problem;
  const std::filesystem::file_status status = std::filesystem::status(file, problem);
  HICI_CHECK_USAGE(std::filesystem::status_known(status), file.string(), ": cannot be read (", problem.message(), ")");
  HICI_CHECK_USAGE(std::filesystem::exists(status), file.string(), ": no such file; in one for --config ", kForm);
  HICI_CHECK_USAGE(!std::filesystem::is_directory(status), file.string(),
                   ": is a directory, expected a file for --config, such as the options.ini of a run");
  HICI_CHECK_USAGE(std::filesystem::is_regular_file(status), file.string(),
                   ": is no regular file (a pipe or a device); write the options to a file");
}

// Without a byte order mark. What is no text is refused here.
std::string read_text(const std::filesystem::path& file) {
  check_is_file(file);
  std::string text = read_file(file, kMaxConfigBytes);
  if (text.starts_with(hici::text::kByteOrderMark)) text.erase(0, hici::text::kByteOrderMark.size());
  HICI_CHECK_USAGE(text.find('\0') == std::string::npos, file.string(), ": is no text; ", kForm);
  const std::string begin = trimmed(text.substr(0, text.find('\n')));
  HICI_CHECK_USAGE(begin.empty() || begin[0] != '{', file.string(), ": is JSON; ", kForm);
  return text;
}

}  // namespace

std::vector<ConfigLine> read_config_file(const std::filesystem::path& file, const std::string& command) {
  std::vector<ConfigLine> entries;
  std::set<std::string> names;
  std::istringstream lines(read_text(file));
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    const std::string source = file.string() + ": line " + std::to_string(++number);
    const std::string text = without_comment(line);
    if (text.empty()) continue;
    if (text[0] == '[') {
      check_section(text, command, source);
      continue;
    }
    const size_t equals = text.find('=');
    std::string name = trimmed(std::string_view(text).substr(0, std::min(equals, text.size())));
    const bool is_name = !name.empty() && name[0] != '-' && name.find_first_of(" \t\"':") == std::string::npos;
    HICI_CHECK_USAGE(equals != std::string::npos && is_name, source, ": ", printable(text), " is no 'name = value'; ",
                     kForm);
    std::replace(name.begin(), name.end(), '-', '_');
    HICI_CHECK_USAGE(names.insert(name).second, source, ": ", printable(name), " stands there twice; give it once");
    entries.push_back({name, read_values(std::string_view(text).substr(equals + 1), source), source});
  }
  return entries;
}

std::string config_line_value(const std::vector<std::string>& values, const std::string& subject) {
  std::string line;
  for (const std::string& value : values) {
    HICI_CHECK_USAGE(value.find_first_of(std::string_view("\n\r\0", 3)) == std::string::npos, subject,
                     ": has a line end or a NUL in it, which the file of options in force cannot hold; leave it out");
    const bool is_plain = values.size() == 1 && !value.empty() && value == trimmed(value) && !is_other_toml(value) &&
                          value.find_first_of("\"#;") == std::string::npos;
    if (!line.empty()) line += ' ';
    if (is_plain) return value;
    line += '"';
    for (const char c : value) {
      if (c == '"' || c == '\\') line += '\\';
      line += c;
    }
    line += '"';
  }
  return line;
}

}  // namespace hici::commands
