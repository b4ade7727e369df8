// SPDX-License-Identifier: Apache-2.0
// A folder that does not hold what was looked for, where one inside it does: one folder deeper, or in a cache of the
// Hugging Face Hub (models--ORG--NAME/snapshots/REVISION, or the folder above).
#pragma once

#include <filesystem>
#include <functional>
#include <string>

namespace hici {

// "; FOLDER holds one, give that" with up to three such folders; "" for none. For the end of a message.
std::string found_nearby(const std::filesystem::path& folder,
                         const std::function<bool(const std::filesystem::path&)>& holds_it);

}  // namespace hici
