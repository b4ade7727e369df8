// SPDX-License-Identifier: Apache-2.0
// Names of the tests that run with each model.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace hici {

// "llama-mha" as GoogleTest takes it in a name.
inline std::string name_with_underscores(const ::testing::TestParamInfo<const char*>& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

}  // namespace hici
