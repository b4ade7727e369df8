// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/sharing_options.h"

#include "hici/base/error.h"

namespace hici::commands {

void SharingOptions::bind(CLI::App& command) {
  add_bool(command, "resume", resume,
           "Go on from what an earlier run of the same command left beside --output, and keep a result that is there");
}

void SharingOptions::check_resume(const std::string& output) const {
  HICI_CHECK_USAGE(!output.empty() || !resume, "--resume: needs --output, beside which the work is kept; give it");
}

void SharingOptions::check(const std::string& output) const {
  check_resume(output);
  const int64_t world = process_rank().world;
  HICI_CHECK_USAGE(!output.empty() || world == 1, "--output: missing, and ", world,
                   " processes meet beside it; give a file that all of them see");
}

eval::SharedWork SharingOptions::work(const std::string& output, const nlohmann::json& settings,
                                      const std::vector<std::string>& required, const ProcessRank& process) const {
  return {.output = output,
          .identity = eval::identity_of(settings),
          .process = process,
          .resume = resume,
          .required = required,
          .replaces_result = process.world == 1};
}

}  // namespace hici::commands
