// SPDX-License-Identifier: Apache-2.0
// --base_format and --fp8_base, which is its fp8.
#pragma once

#include "hici/commands/options/option.h"
#include "hici/config/base_format.h"

#include <nlohmann/json_fwd.hpp>

#include <string>

namespace hici::commands {

struct BaseFormatOptions {
  Option<std::string> base_format{"model"};
  Option<bool> fp8_base{false};

  void bind(CLI::App& command);
  // Both typed must agree, and some weights be frozen.
  config::BaseFormat resolve(bool has_frozen = true) const;
  // In the settings of a result, also `model`: a report tells results of other formats apart.
  void record(nlohmann::json& settings) const;
};

}  // namespace hici::commands
