// SPDX-License-Identifier: Apache-2.0
// One line for each command: what its file provides and table.cpp lists.
#pragma once

#include "hici/commands/command.h"

namespace hici::commands {

CommandEntry devices_command();

}  // namespace hici::commands
