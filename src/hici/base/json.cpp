// SPDX-License-Identifier: Apache-2.0
#include "hici/base/json.h"

#include "hici/base/error.h"
#include "hici/base/file.h"

#include <algorithm>
#include <cmath>

namespace hici {
namespace {

using nlohmann::json;

// Nesting is measured on the bytes, before any value exists: strings are skipped, brackets counted.
void check_depth(std::string_view text, const std::string& subject, int max_depth) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
      continue;
    }
    if (c == '"') in_string = true;
    if (c == '[' || c == '{') {
      ++depth;
      HICI_CHECK(depth <= max_depth, subject, ": nested deeper than ", max_depth, " levels at byte ", i,
                 "; not a file of this kind");
    }
    if (c == ']' || c == '}') --depth;
  }
}

// nlohmann takes a NUL for the end of the text: what stands behind it would be lost without a word. JSON has none
// (inside a string it is written \u0000).
void check_no_nul(std::string_view text, const std::string& subject) {
  const size_t at = text.find('\0');
  HICI_CHECK(at == std::string_view::npos, subject, ": not JSON, a NUL is byte ", at + 1,
             "; the file is damaged or of another kind");
}

// Builds the document from nlohmann's events; unlike json::parse it notices a key that occurs twice.
// Where a parser gives up at the first letter of NaN or Infinity; it writes a line end as <U+000A>.
bool ends_with_no_number(const std::string& token) {
  const size_t size = token.size();
  if (size == 0 || (token[size - 1] != 'N' && token[size - 1] != 'I')) return false;
  return size == 1 || std::string_view(":,[- >").find(token[size - 2]) != std::string_view::npos;
}

class DocumentBuilder {
 public:
  using number_integer_t = json::number_integer_t;
  using number_unsigned_t = json::number_unsigned_t;
  using number_float_t = json::number_float_t;
  using string_t = json::string_t;
  using binary_t = json::binary_t;

  explicit DocumentBuilder(const std::string& subject) : subject_(subject) {}

  bool null() { return put(nullptr); }
  bool boolean(bool value) { return put(value); }
  bool number_integer(number_integer_t value) { return put(value); }
  bool number_unsigned(number_unsigned_t value) { return put(value); }
  bool number_float(number_float_t value, const string_t&) { return put(value); }
  bool string(string_t& value) { return put(std::move(value)); }
  bool binary(binary_t&) { return false; }  // no such event from text
  bool start_object(size_t) { return open(json::object()); }
  bool start_array(size_t) { return open(json::array()); }
  bool end_object() { return close(); }
  bool end_array() { return close(); }

  bool key(string_t& name) {
    auto [place, is_new] = open_.back()->get_ref<json::object_t&>().try_emplace(name);
    HICI_CHECK(is_new, subject_, ": key '", printable(name), "' occurs twice; the file is damaged");
    member_ = &place->second;
    return true;
  }

  bool parse_error(size_t position, const std::string& last_token, const json::exception& e) {
    if (e.id == 406)
      fail(subject_, ": not JSON, number '", printable(last_token, 60), "' is out of range before byte ", position,
           "; the file is damaged");
    // As Python's json writes numbers that are none.
    HICI_CHECK(!ends_with_no_number(last_token), subject_, ": not JSON, NaN or Infinity before byte ", position,
               "; write null, or leave the key out");
    fail(subject_, ": not JSON, unexpected '", printable(last_token, 60), "' before byte ", position,
         "; the file is damaged or of another kind");
  }

  json take() { return std::move(root_); }

 private:
  json* place(json value) {
    if (open_.empty()) {
      root_ = std::move(value);
      return &root_;
    }
    if (open_.back()->is_array()) {
      auto& items = open_.back()->get_ref<json::array_t&>();
      items.push_back(std::move(value));
      return &items.back();
    }
    *member_ = std::move(value);
    return member_;
  }

  bool put(json value) {
    place(std::move(value));
    return true;
  }

  bool open(json container) {
    open_.push_back(place(std::move(container)));
    return true;
  }

  bool close() {
    open_.pop_back();
    return true;
  }

  const std::string& subject_;
  json root_;
  std::vector<json*> open_;  // containers being filled; a parent does not grow while a child is open
  json* member_ = nullptr;   // value of the last key
};

}  // namespace

std::string printable(std::string_view text, size_t max_length) {
  std::string out;
  for (const char c : text.substr(0, max_length)) out += (c >= ' ' && c <= '~') ? c : '?';
  return text.size() > max_length ? out + "..." : out;
}

json parse_json(std::string_view text, const std::string& subject, size_t max_bytes, int max_depth) {
  HICI_CHECK(text.size() <= max_bytes, subject, ": ", text.size(), " bytes of JSON, more than the ", max_bytes,
             " allowed; not a file of this kind");
  check_no_nul(text, subject);
  check_depth(text, subject, max_depth);
  DocumentBuilder builder(subject);
  json::sax_parse(text, &builder);  // an error leaves through parse_error, which throws
  return builder.take();
}

json read_json_file(const std::filesystem::path& path, size_t max_bytes) {
  return parse_json(read_file(path, max_bytes), path.string(), max_bytes);
}

json read_companion_json(const std::filesystem::path& path, size_t max_bytes) {
  return parse_json(read_file(path, max_bytes, Links::kCompanion), path.string(), max_bytes);
}

JsonObject::JsonObject(const json& value, std::string subject) : value_(&value), subject_(std::move(subject)) {
  HICI_CHECK(value.is_object(), subject_, ": is ", shown_json(value), ", expected a JSON object");
}

bool JsonObject::has(const std::string& key) const {
  const auto found = value_->find(key);
  return found != value_->end() && !found->is_null();
}

const json& JsonObject::at(const std::string& key) const {
  HICI_CHECK(has(key), subject_, ": has no '", printable(key), "'; the file is incomplete or of another kind");
  return *value_->find(key);
}

JsonObject JsonObject::object(const std::string& key) const {
  return JsonObject(at(key), subject_ + ": " + printable(key));
}

void JsonObject::wrong_type(const std::string& key, const char* wanted) const {
  fail(subject_, ": ", printable(key), " is ", shown_json(at(key)), ", expected ", wanted);
}

int64_t JsonObject::integer(const std::string& key, int64_t low, int64_t high) const {
  const json& value = at(key);
  if (!value.is_number_integer()) wrong_type(key, "a whole number");
  const bool fits = !value.is_number_unsigned() ||
                    value.get<uint64_t>() <= static_cast<uint64_t>(std::numeric_limits<int64_t>::max());
  HICI_CHECK(fits && value.get<int64_t>() >= low && value.get<int64_t>() <= high, subject_, ": ", printable(key),
             " is ", shown_json(value), ", expected ", low, " to ", high);
  return value.get<int64_t>();
}

int64_t JsonObject::integer_or(const std::string& key, int64_t absent, int64_t low, int64_t high) const {
  return has(key) ? integer(key, low, high) : absent;
}

double JsonObject::number(const std::string& key) const {
  const json& value = at(key);
  if (!value.is_number() || !std::isfinite(value.get<double>())) wrong_type(key, "a finite number");
  return value.get<double>();
}

double JsonObject::number_or(const std::string& key, double absent) const { return has(key) ? number(key) : absent; }

std::optional<double> JsonObject::optional_number(const std::string& key) const {
  return has(key) ? std::optional<double>(number(key)) : std::nullopt;
}

bool JsonObject::boolean_or(const std::string& key, bool absent) const {
  if (!has(key)) return absent;
  if (!at(key).is_boolean()) wrong_type(key, "true or false");
  return at(key).get<bool>();
}

std::string JsonObject::string(const std::string& key) const {
  if (!at(key).is_string()) wrong_type(key, "a string");
  return at(key).get<std::string>();
}

std::string JsonObject::string_or(const std::string& key, const std::string& absent) const {
  return has(key) ? string(key) : absent;
}

std::vector<std::string> JsonObject::strings(const std::string& key) const {
  const json& value = at(key);
  if (!value.is_array()) wrong_type(key, "a list of strings");
  std::vector<std::string> out;
  for (const json& item : value) {
    if (!item.is_string()) wrong_type(key, "a list of strings");
    out.push_back(item.get<std::string>());
  }
  return out;
}

std::string one_line(const json& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

std::string shown_json(const json& value) {
  if (value.is_object()) return detail::concat("an object of ", value.size(), " keys");
  if (value.is_array() &&
      (value.size() > 8 || std::any_of(value.begin(), value.end(), [](const json& v) { return v.is_structured(); })))
    return detail::concat("a list of ", value.size(), " items");
  std::string text = value.dump(-1, ' ', true, json::error_handler_t::replace);
  if (text.size() > 80) text = text.substr(0, 77) + "...";
  return text;
}

}  // namespace hici
