// SPDX-License-Identifier: Apache-2.0
// A drawing of a page as a file of its own.
#pragma once

#include <string>

namespace hici::report {

// `svg` as render_svg() makes it -> an SVG document with the styles that it needs, in the light colours of the page and
// without CSS variables, which programs other than browsers do not know.
std::string standalone_svg(const std::string& svg);

}  // namespace hici::report
