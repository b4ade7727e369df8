// SPDX-License-Identifier: Apache-2.0
// The report as one HTML page that needs nothing else: styles and drawings stand in it, light and dark, for a telephone
// and for a desk.
#pragma once

#include "hici/report/report_data.h"

#include <string>

namespace hici::report {

std::string render_page(const ReportData& data, const std::string& title);

}  // namespace hici::report
