// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/sharing_options.h"

#include "hici/base/error.h"

namespace hici::commands {

void SharingOptions::bind(CLI::App& command) {
  add_bool(command, "resume", resume,
           "Keep what an earlier run left beside --output, and go on from there; several processes always keep it");
}

bool SharingOptions::shares() const { return resume || process_rank().world > 1; }

void SharingOptions::check(const std::string& output) const {
  HICI_CHECK_USAGE(!output.empty() || !resume, "--resume: needs --output, beside which the work is kept; give it");
  HICI_CHECK_USAGE(!output.empty() || !shares(), "--output: missing, and ", process_rank().world,
                   " processes meet beside it; give a file that all of them see");
}

eval::SharedWork SharingOptions::work(const std::string& output, const nlohmann::json& settings) const {
  nlohmann::json identity = settings;
  identity.erase("device");
  return {.output = output, .identity = std::move(identity), .process = process_rank(), .resume = resume};
}

}  // namespace hici::commands
