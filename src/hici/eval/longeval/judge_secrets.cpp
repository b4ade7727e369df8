// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longeval/judge_secrets.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <optional>
#include <utility>

namespace hici::eval {
namespace {

constexpr std::string_view kHidden = "***";
constexpr int kMaxEscapeLevels = 3;
// Shorter ones, such as a year in a query, would hide half of any text in their other forms.
constexpr size_t kMinBytesOfOtherForms = 8;
// Names in paths, and their parts between signs, are shorter or have no digit.
constexpr size_t kMinKeyInPath = 20;

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
  if (text[1] == 'x' && text.size() >= 4) {
    const auto byte = number_in(text.substr(2, 2), 16);
    return byte ? std::optional<Escape>({4, *byte}) : std::nullopt;
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

// With the two letters that are other ones in URLs.
std::string in_url_letters(std::string text) {
  std::replace(text.begin(), text.end(), '+', '-');
  std::replace(text.begin(), text.end(), '/', '_');
  return text;
}

bool is_base64_letter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '+' || c == '/' || c == '-' || c == '_';
}

std::string hexadecimal(const std::string& text) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string out;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    out += {kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return out;
}

// Of ASCII only, so that no byte moves.
std::string lower(std::string text) {
  for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return text;
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

bool looks_like_a_key(std::string_view segment) {
  size_t run = 0;
  bool has_letter = false, has_digit = false;
  for (const char c : segment) {
    const auto byte = static_cast<unsigned char>(c);
    if (std::isalnum(byte) == 0) {
      run = 0;
      has_letter = has_digit = false;
      continue;
    }
    ++run;
    has_letter = has_letter || std::isalpha(byte) != 0;
    has_digit = has_digit || std::isdigit(byte) != 0;
    if (run >= kMinKeyInPath && has_letter && has_digit) return true;
  }
  return false;
}

// Host and what stands between the '/' of the path.
std::vector<std::string_view> segments_of(std::string_view rest) {
  std::vector<std::string_view> segments;
  while (true) {
    const size_t end = rest.find('/');
    segments.push_back(rest.substr(0, end));
    if (end == std::string_view::npos) return segments;
    rest.remove_prefix(end + 1);
  }
}

}  // namespace

JudgeSecrets::JudgeSecrets(const std::string& url, const std::string& api_key) {
  const UrlParts parts = parts_of(url);
  const std::string userinfo(parts.userinfo);
  add(api_key);
  add(userinfo);
  for (const std::string& form : {userinfo, percent_decoded(userinfo)}) {
    if (!form.empty()) forms_.push_back({.text = lower(base64(form))});  // as HTTP sends it, however short
  }
  const size_t colon = userinfo.find(':');
  if (colon != std::string::npos) add(userinfo.substr(colon + 1));
  for (const std::string_view segment : segments_of(parts.rest)) {
    if (looks_like_a_key(segment)) add(std::string(segment));
  }
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
    if (form.empty()) continue;
    forms_.push_back({.text = lower(form)});
    if (form.size() < kMinBytesOfOtherForms) continue;
    forms_.push_back({.text = lower(std::string(form.rbegin(), form.rend()))});
    forms_.push_back({.text = hexadecimal(form)});
    add_base64(form);
  }
}

// Where the secret begins among the three bytes that four letters stand for is not known.
void JudgeSecrets::add_base64(const std::string& secret) {
  constexpr std::array<size_t, 3> kSharedBefore = {0, 2, 3};  // letters that hold bits of what stands before it
  for (size_t shift = 0; shift < kSharedBefore.size(); ++shift) {
    const std::string letters = base64(std::string(shift, '\0') + secret);
    const size_t before = kSharedBefore[shift], after = (shift + secret.size()) % 3 == 0 ? 0 : 1;
    const std::string own = letters.substr(before, letters.size() - before - after);
    for (const std::string& form : {own, in_url_letters(own)})
      forms_.push_back({.text = lower(form), .before = before, .after = after});
  }
}

std::string JudgeSecrets::hidden(std::string_view text) const {
  if (forms_.empty()) return std::string(text);
  std::vector<std::pair<size_t, size_t>> ranges;  // of the text, that hold a secret
  Unescaped written = as_it_is(text);
  for (int level = 0; level <= kMaxEscapeLevels; ++level) {
    const std::string all = lower(written.text);
    for (const Form& form : forms_) {
      for (size_t at = all.find(form.text); at != std::string::npos; at = all.find(form.text, at + 1)) {
        size_t begin = at, end = at + form.text.size();
        for (size_t i = 0; i < form.before && begin > 0 && is_base64_letter(all[begin - 1]); ++i) --begin;
        for (size_t i = 0; i < form.after && end < all.size() && is_base64_letter(all[end]); ++i) ++end;
        ranges.emplace_back(written.places[begin], written.places[end]);
      }
    }
    Unescaped next = unescaped(written);
    if (next.text.size() == written.text.size()) break;
    written = std::move(next);
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

std::string shown_url(std::string_view url, const std::string& api_key) {
  const UrlParts parts = parts_of(url);
  std::string shown(parts.scheme);
  if (parts.has_userinfo) shown.append(kHidden).append("@");
  const std::vector<std::string_view> segments = segments_of(parts.rest);
  for (size_t i = 0; i < segments.size(); ++i)
    shown.append(i == 0 ? "" : "/").append(looks_like_a_key(segments[i]) ? kHidden : segments[i]);
  if (!parts.behind.empty()) shown.append(parts.behind.substr(0, 1)).append(kHidden);
  return JudgeSecrets("", api_key).hidden(shown);
}

}  // namespace hici::eval
