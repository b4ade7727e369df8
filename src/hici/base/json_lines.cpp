// SPDX-License-Identifier: Apache-2.0
#include "hici/base/json_lines.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/json.h"
#include "hici/base/log.h"

#include <string_view>

namespace hici {
namespace {

constexpr size_t kMaxFileBytes = size_t{1} << 30;
constexpr size_t kMaxLineBytes = size_t{1} << 20;

}  // namespace

std::vector<JsonLine> read_json_lines(const std::filesystem::path& path) {
  std::vector<JsonLine> lines;
  if (!std::filesystem::exists(path)) return lines;
  const std::string file = read_file(path, kMaxFileBytes);
  std::string_view rest = file;
  int line_number = 0;
  for (size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
    const std::string_view text = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    ++line_number;
    try {
      nlohmann::json value = parse_json(text, detail::concat(path.string(), ": line ", line_number), kMaxLineBytes);
      HICI_CHECK(value.is_object(), path.string(), ": line ", line_number, ": no JSON object");
      lines.push_back({std::string(text), std::move(value)});
    } catch (const Error& e) {
      log_warning(e.what(), "; this line is left out");
    }
  }
  return lines;
}

}  // namespace hici
