// SPDX-License-Identifier: Apache-2.0
// Why a shared library was not loaded, or has no such symbol.
#pragma once

#include <dlfcn.h>

#include <string>

namespace hici {

// dlerror's text begins with the file that failed, which may be a library that ours needs.
inline std::string dl_message() {
  const char* message = dlerror();
  return message ? message : "unknown reason";
}

}  // namespace hici
