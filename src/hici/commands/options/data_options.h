// SPDX-License-Identifier: Apache-2.0
// What commands share that read token files, or text and ids that become one.
#pragma once

#include "hici/commands/command.h"
#include "hici/commands/options/option_choices.h"

#include <string>

namespace hici::commands {

constexpr const char* kWindowsData =
    "Token file (hici tokenize makes one), or text or ids as of hici train, which become one in a temporary folder";
constexpr const char* kTextFieldHelp =
    "Field of JSON objects, column of Arrow data sets; of these, input_ids where they have no such column";

inline void bind_token_type(CLI::App& app, std::string& token_type) {
  CLI::Option* option = add_option(app, "token_type", token_type,
                                   "uint16 or uint32; default: the sidecar's, else what fits the vocabulary. A file "
                                   "that looks like something else is "
                                   "refused, unless this is forced_uint16 or forced_uint32");
  with_choices(option, {"uint16", "uint32", "forced_uint16", "forced_uint32"});
}

inline void bind_text_columns(CLI::App& app, std::string& text_field, std::string& split) {
  add_option(app, "text_field", text_field, kTextFieldHelp);
  add_option(app, "split", split, "Split of a data set with several");
}

}  // namespace hici::commands
