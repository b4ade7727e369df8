// SPDX-License-Identifier: Apache-2.0
// What this binary was built from; version.cpp is made by cmake/version.cpp.in at build time.
#pragma once

namespace hici {

extern const char* const kVersion;
extern const char* const kGitRevision;
extern const char* const kTorchVersion;
extern const char* const kCudaSummary;
extern const char* const kTextSummary;
extern const char* const kArrowSummary;
extern const char* const kArrowFolder;  // of a pyarrow that lies elsewhere than torch; else ""

}  // namespace hici
