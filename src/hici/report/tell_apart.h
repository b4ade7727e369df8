// SPDX-License-Identifier: Apache-2.0
// Distinguishes different results that would be in one cell of a table, and removes duplicates.
#pragma once

#include "hici/report/report_data.h"

namespace hici::report {

// For results with the same conditions, label, attention and cell: a difference in folders, settings of the model or
// weights becomes part of the label or of the attention, so each result has its own row. Files without conditions are
// distinguished by their names. Remaining duplicates are repeated measurements: the later one is used, with a warning.
void tell_apart(ReportData& data);

}  // namespace hici::report
