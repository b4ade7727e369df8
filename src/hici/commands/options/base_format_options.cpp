// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/base_format_options.h"

#include "hici/base/error.h"
#include "hici/commands/options/foreign_options.h"
#include "hici/commands/options/option_choices.h"

#include <nlohmann/json.hpp>

namespace hici::commands {

using config::BaseFormat;

void BaseFormatOptions::bind(CLI::App& command) {
  with_choices_of<BaseFormat>(
      add_option(
          command, "base_format", base_format,
          "How frozen projections and MLPs are stored: model = in the type of the model; fp8 = in 8 bits, and "
          "multiplied in 8 bits, which is faster on a GPU that can (8.9 or more); nf4 = in 4 bits, unpacked before "
          "each product: a little over a quarter of their memory in bfloat16; nf4_double = the same with scales in 8 "
          "bits"),
      {});
  add_bool(command, "fp8_base", fp8_base, "True is --base_format fp8");
  // How scripts on transformers ask bitsandbytes for narrow weights.
  add_one_meaning(command, {"load_in_4bit", {"false"}, "--base_format says it", "use --base_format nf4"});
  add_one_meaning(command, {"load_in_8bit", {"false"}, "--base_format says it", "use --base_format fp8"});
}

BaseFormat BaseFormatOptions::resolve(bool has_frozen) const {
  auto format = parse_enum<BaseFormat>(base_format.value, base_format.name());
  HICI_CHECK_USAGE(fp8_base.value || !fp8_base.typed() || format != BaseFormat::kFp8, fp8_base.name(),
                   ": False contradicts ", base_format.name(), " fp8; leave one of them out");
  HICI_CHECK_USAGE(!fp8_base.value || !base_format.typed() || format == BaseFormat::kFp8, base_format.name(), ": ",
                   base_format.value, " contradicts ", fp8_base.name(), " True; leave one of them out");
  if (fp8_base.value) format = BaseFormat::kFp8;
  HICI_CHECK_USAGE(has_frozen || format == BaseFormat::kModel, base_format.name(),
                   ": nothing is frozen with --low_rank_training False; leave it out");
  return format;
}

void BaseFormatOptions::record(nlohmann::json& settings) const { settings["base_format"] = name_of(resolve()); }

}  // namespace hici::commands
