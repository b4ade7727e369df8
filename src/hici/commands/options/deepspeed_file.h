// SPDX-License-Identifier: Apache-2.0
// The research scripts' --deepspeed FILE: what it asks for, said in one line.
#pragma once

#include <filesystem>
#include <string>

namespace hici::commands {

// "ds.json: asks for ZeRO stage 2, optimizer offloaded to cpu; without effect: ...". A file that is not there is said
// to be so: scripts name it by a path inside the research code.
std::string describe_deepspeed_file(const std::filesystem::path& file);

}  // namespace hici::commands
