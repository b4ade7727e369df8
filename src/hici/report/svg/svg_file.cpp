// SPDX-License-Identifier: Apache-2.0
#include "hici/report/svg/svg_file.h"

#include "hici/base/error.h"
#include "hici/report/page_style.h"

#include <string_view>

namespace hici::report {
namespace {

constexpr std::string_view kVariable = "var(";
constexpr std::string_view kOpening = "<svg ";

// What `--name` is in the light colours, which the style sheet has first.
std::string value_of(const std::string& name) {
  const std::string_view style = kPageStyle;
  const size_t found = style.find(name + ": ");
  HICI_ASSERT(found != std::string_view::npos, "no colour ", name);
  const size_t begin = found + name.size() + 2;
  return std::string(style.substr(begin, style.find(';', begin) - begin));
}

std::string with_values(const std::string& text) {
  std::string out;
  size_t at = 0;
  for (size_t found = text.find(kVariable); found != std::string::npos; found = text.find(kVariable, at)) {
    const size_t end = text.find(')', found);
    out.append(text, at, found - at);
    out += value_of(text.substr(found + kVariable.size(), end - found - kVariable.size()));
    at = end + 1;
  }
  return out.append(text, at);
}

}  // namespace

std::string standalone_svg(const std::string& svg) {
  HICI_ASSERT(svg.starts_with(kOpening), "no drawing: ", svg.substr(0, kOpening.size()));
  const size_t body = svg.find('>') + 1;
  return with_values("<svg xmlns='http://www.w3.org/2000/svg' " + svg.substr(kOpening.size(), body - kOpening.size()) +
                     "\n<style>" + kSvgStyle + "</style>\n<rect width='100%' height='100%' fill='var(--ground)'/>" +
                     svg.substr(body));
}

}  // namespace hici::report
