// SPDX-License-Identifier: Apache-2.0
// What one looks up first about a training run, from its logged steps.
#pragma once

#include "hici/report/report_data.h"

#include <string>
#include <vector>

namespace hici::report {

constexpr const char* kNoFact = "-";

struct Fact {
  std::string name;
  std::string value;  // as people read it; "-" when the run does not say
};

// The same names in the same order for every run.
std::vector<Fact> facts_of(const TrainingRun& run);

}  // namespace hici::report
