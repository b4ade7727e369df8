// SPDX-License-Identifier: Apache-2.0
// Names of the Hugging Face Hub where paths belong: nothing is downloaded here, so the message says how.
#pragma once

#include <filesystem>
#include <string>

namespace hici {

enum class HubKind { kModel, kDataSet };

// "; 'hf download OWNER/NAME --local-dir NAME' fetches it, where that is a name of the Hub" for a path that is not
// there and reads like one; else "". For the end of the message about the missing path.
std::string hub_hint(const std::filesystem::path& path, HubKind kind);

}  // namespace hici
