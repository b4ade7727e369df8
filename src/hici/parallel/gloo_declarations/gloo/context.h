// SPDX-License-Identifier: Apache-2.0
// What ProcessGroupGloo.hpp needs of Gloo: one inline function there calls this one.
#pragma once

#include <chrono>

namespace gloo {
class Context {
 public:
  void setTimeout(std::chrono::milliseconds timeout);
};
}  // namespace gloo
