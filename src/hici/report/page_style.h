// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace hici::report {

// The style sheet of the page. Series colours are chosen to differ for every kind of colour vision and to keep a
// contrast of 3 to 1 with the ground, in light and in dark.
extern const char* const kPageStyle;

// What the drawings in it need besides.
extern const char* const kSvgStyle;

}  // namespace hici::report
