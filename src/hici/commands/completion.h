// SPDX-License-Identifier: Apache-2.0
// Scripts with which a shell completes commands, options, their values and files; made from the declared options.
#pragma once

#include <string>

namespace hici::commands {

// For `source <(hici --completion bash)` and share/bash-completion/completions. Bash 4 or newer; nothing else is
// needed.
std::string bash_completion();

// For a folder of $fpath, under the name _hici, or to be sourced.
std::string zsh_completion();

}  // namespace hici::commands
