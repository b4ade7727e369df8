// SPDX-License-Identifier: Apache-2.0
// Under which heading of the help text an option stands.
#pragma once

#include <string>
#include <vector>

namespace hici::commands {

// In the order of the help text; the last ones are for options that are in no list, and for inherited names.
const std::vector<std::string>& option_group_names();
// `name` without dashes. "Other" when it is in no list, which a test refuses.
const std::string& option_group(const std::string& name);

}  // namespace hici::commands
