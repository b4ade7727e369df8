// SPDX-License-Identifier: Apache-2.0
// Perplexities in the form that papers print: one row for each model and attention, one column for each context.
#pragma once

#include "hici/report/tables/table.h"

#include <string>
#include <vector>

namespace hici::report {

Table perplexity_table(const std::vector<PerplexityResult>& results);

// Two decimals as in papers, fewer for large values.
std::string shown_perplexity(double value);

}  // namespace hici::report
