// SPDX-License-Identifier: Apache-2.0
// Results that would stand in one cell of a table though they are not the same thing, and those that are the same.
#pragma once

#include "hici/report/report_data.h"

namespace hici::report {

// Of results under the same conditions, with one label and attention, in one cell: where their folders, settings of the
// model or weights differ, that becomes part of the label or of the attention, so that each has a row. Files that do
// not state their conditions are told apart by their names. What is left is one thing measured twice: the later one
// counts, and a warning says so.
void tell_apart(ReportData& data);

}  // namespace hici::report
