// SPDX-License-Identifier: Apache-2.0
// For values of options that readers of files look at: what is wrong with them is no file that the program needs.
#pragma once

#include "hici/base/error.h"

#include <string>

namespace hici {

// What `read` returns. Its errors become usage errors, with `prefix` in front; usage errors and our own mistakes stay.
template <typename Read>
auto with_usage_errors(const std::string& prefix, Read read) {
  try {
    return read();
  } catch (const UsageError&) {
    throw;
  } catch (const InternalError&) {
    throw;
  } catch (const Error& e) {
    detail::throw_usage_error(prefix + e.what());
  }
}

}  // namespace hici
