// SPDX-License-Identifier: Apache-2.0
// A process of several that ends because of what another one has said already: it says nothing itself.
#pragma once

#include "hici/base/error.h"

namespace hici {

class AlreadySaid : public Error {
 public:
  AlreadySaid(int exit_code, const std::string& what) : Error(what), exit_code_(exit_code) {}
  int exit_code() const { return exit_code_; }

 private:
  int exit_code_;
};

}  // namespace hici
