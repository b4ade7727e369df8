// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/judge_secrets.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <optional>
#include <utility>

namespace hici::eval {
namespace {

constexpr std::string_view kHidden = "***";
constexpr int kMaxEscapeLevels = 3;

// Text without its escapes; each byte knows where it stood, and one more entry where the text ended.
struct Unescaped {
  std::string text;
  std::vector<size_t> places;
};

struct Escape {
  size_t length;
  uint32_t character;
};

std::optional<uint32_t> number_in(std::string_view digits, int base) {
  uint32_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  return value;
}

std::optional<Escape> json_escape(std::string_view text) {
  if (text.size() < 2 || text[0] != '\\') return std::nullopt;
  if (text[1] == 'u' && text.size() >= 6) {
    const auto unit = number_in(text.substr(2, 4), 16);
    return unit ? std::optional<Escape>({6, *unit}) : std::nullopt;
  }
  return std::string_view("\"\\/'").find(text[1]) == std::string_view::npos
             ? std::nullopt
             : std::optional<Escape>({2, static_cast<uint32_t>(text[1])});
}

std::optional<Escape> html_escape(std::string_view text) {
  constexpr size_t kLongest = 12;
  constexpr std::array<std::pair<std::string_view, char>, 5> kNames = {
      {{"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}}};
  const size_t end = text.substr(0, kLongest).find(';');
  if (text.empty() || text[0] != '&' || end == std::string_view::npos) return std::nullopt;
  const std::string_view inside = text.substr(1, end - 1);
  for (const auto& [name, character] : kNames) {
    if (inside == name) return Escape{end + 1, static_cast<uint32_t>(character)};
  }
  if (inside.size() < 2 || inside[0] != '#') return std::nullopt;
  const bool is_hex = inside[1] == 'x' || inside[1] == 'X';
  const auto code = is_hex ? number_in(inside.substr(2), 16) : number_in(inside.substr(1), 10);
  return code ? std::optional<Escape>({end + 1, *code}) : std::nullopt;
}

std::optional<Escape> escape_at(std::string_view text) {
  if (text[0] == '%' && text.size() >= 3) {
    const auto byte = number_in(text.substr(1, 2), 16);
    return byte ? std::optional<Escape>({3, *byte}) : std::nullopt;
  }
  if (const auto escape = json_escape(text)) return escape;
  return html_escape(text);
}

Unescaped unescaped(const Unescaped& from) {
  Unescaped to;
  for (size_t at = 0; at < from.text.size();) {
    const std::optional<Escape> escape = escape_at(std::string_view(from.text).substr(at));
    // A character beyond Latin-1 is no part of a key; any byte will do in its place.
    to.text += escape ? static_cast<char>(escape->character) : from.text[at];
    to.places.push_back(from.places[at]);
    at += escape ? escape->length : 1;
  }
  to.places.push_back(from.places.back());
  return to;
}

Unescaped as_it_is(std::string_view text) {
  Unescaped plain{std::string(text), {}};
  for (size_t i = 0; i <= text.size(); ++i) plain.places.push_back(i);
  return plain;
}

std::string percent_decoded(const std::string& text) {
  std::string decoded;
  for (size_t i = 0; i < text.size(); ++i) {
    const auto byte = text[i] == '%' && i + 2 < text.size() ? number_in(text.substr(i + 1, 2), 16) : std::nullopt;
    decoded += byte ? static_cast<char>(*byte) : text[i];
    if (byte) i += 2;
  }
  return decoded;
}

// Without the '=' at its end, which an echo may leave out.
std::string base64(const std::string& text) {
  constexpr std::string_view kLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t at = 0; at < text.size(); at += 3) {
    const size_t count = std::min<size_t>(3, text.size() - at);
    uint32_t bits = 0;
    for (size_t i = 0; i < 3; ++i) bits = bits << 8 | (i < count ? static_cast<unsigned char>(text[at + i]) : 0u);
    for (size_t i = 0; i <= count; ++i) out += kLetters[bits >> (18 - 6 * i) & 63];
  }
  return out;
}

struct UrlParts {
  std::string_view scheme;    // with "://"
  std::string_view userinfo;  // without '@'
  std::string_view rest;      // host and path
  std::string_view behind;    // query and fragment
  bool has_userinfo = false;
};

// The last '@' of all ends user and password: one that a password holds hides too much rather than too little.
UrlParts parts_of(std::string_view url) {
  UrlParts parts;
  const size_t scheme = url.find("://");
  parts.scheme = url.substr(0, scheme == std::string_view::npos ? 0 : scheme + 3);
  url.remove_prefix(parts.scheme.size());
  const size_t at = url.rfind('@');
  parts.has_userinfo = at != std::string_view::npos;
  if (parts.has_userinfo) {
    parts.userinfo = url.substr(0, at);
    url.remove_prefix(at + 1);
  }
  parts.rest = url.substr(0, url.find_first_of("?#"));
  parts.behind = url.substr(parts.rest.size());
  return parts;
}

}  // namespace

JudgeSecrets::JudgeSecrets(const std::string& url, const std::string& api_key) {
  const UrlParts parts = parts_of(url);
  const std::string userinfo(parts.userinfo);
  add(api_key);
  add(userinfo);
  add(base64(userinfo));
  add(base64(percent_decoded(userinfo)));
  const size_t colon = userinfo.find(':');
  if (colon != std::string::npos) add(userinfo.substr(colon + 1));
  std::string_view query = parts.behind;
  while (!query.empty()) {
    query.remove_prefix(1);  // '?', '#' or '&'
    const std::string_view item = query.substr(0, query.find_first_of("&#"));
    const size_t equals = item.find('=');
    add(std::string(equals == std::string_view::npos ? item : item.substr(equals + 1)));
    query.remove_prefix(item.size());
  }
}

void JudgeSecrets::add(const std::string& secret) {
  for (const std::string& form : {secret, percent_decoded(secret)}) {
    if (!form.empty()) secrets_.push_back(form);
  }
}

std::string JudgeSecrets::hidden(std::string_view text) const {
  if (secrets_.empty()) return std::string(text);
  std::vector<std::pair<size_t, size_t>> ranges;  // of the text, that hold a secret
  Unescaped form = as_it_is(text);
  for (int level = 0; level <= kMaxEscapeLevels; ++level) {
    for (const std::string& secret : secrets_) {
      for (size_t at = form.text.find(secret); at != std::string::npos; at = form.text.find(secret, at + 1))
        ranges.emplace_back(form.places[at], form.places[at + secret.size()]);
    }
    Unescaped next = unescaped(form);
    if (next.text.size() == form.text.size()) break;
    form = std::move(next);
  }
  std::sort(ranges.begin(), ranges.end());
  std::string out;
  size_t done = 0;
  for (const auto& [begin, end] : ranges) {
    if (end <= done) continue;
    if (begin >= done) out.append(text.substr(done, begin - done)).append(kHidden);
    done = end;
  }
  return out.append(text.substr(done));
}

std::string shown_url(std::string_view url) {
  const UrlParts parts = parts_of(url);
  std::string shown(parts.scheme);
  if (parts.has_userinfo) shown.append(kHidden).append("@");
  shown.append(parts.rest);
  if (!parts.behind.empty()) shown.append(parts.behind.substr(0, 1)).append(kHidden);
  return shown;
}

}  // namespace hici::eval
