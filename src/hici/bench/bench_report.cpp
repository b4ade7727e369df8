// SPDX-License-Identifier: Apache-2.0
#include "hici/bench/bench_report.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/text_table.h"
#include "hici/base/version.h"
#include "hici/device/cuda_plugin.h"
#include "hici/ops/types.h"

#include <algorithm>
#include <cmath>

namespace hici::bench {
namespace {

// The value of a cell, null where the row has none.
nlohmann::json cell_value(const BenchColumn& column, const nlohmann::json& row) {
  const nlohmann::json::json_pointer place(column.key);
  return row.contains(place) ? row.at(place) : nlohmann::json();
}

// Integers as they are, other numbers with three digits, or all before the point where there are more.
std::string shown_number(const nlohmann::json& value, double unit) {
  if (value.is_number_integer() && unit == 1) return std::to_string(value.get<int64_t>());
  const double number = value.get<double>() / unit;
  if (number == 0) return "0";
  return fixed_digits(number, std::clamp(2 - static_cast<int>(std::floor(std::log10(std::abs(number)))), 0, 9));
}

// A row that failed says so in its first column of numbers.
std::vector<std::string> shown_row(const std::vector<BenchColumn>& columns, const nlohmann::json& row) {
  std::vector<std::string> cells;
  bool says_why = row.at("status") == kOk;
  for (const BenchColumn& column : columns) {
    const nlohmann::json value = cell_value(column, row);
    if (!value.is_null()) {
      cells.push_back(value.is_string() ? value.get<std::string>() : shown_number(value, column.unit));
    } else {
      cells.push_back(says_why ? "-" : row.at("status").get<std::string>());
      says_why = true;
    }
  }
  return cells;
}

std::vector<std::vector<std::string>> shown_cells(const BenchReport& report) {
  std::vector<std::vector<std::string>> cells(1);
  for (const BenchColumn& column : report.columns) cells[0].push_back(column.heading);
  for (const nlohmann::json& row : report.rows) cells.push_back(shown_row(report.columns, row));
  return cells;
}

size_t num_text_columns(const BenchReport& report) {
  return static_cast<size_t>(std::count_if(report.columns.begin(), report.columns.end(),
                                           [](const BenchColumn& column) { return column.is_text; }));
}

std::string pause_text(int64_t pause_ms) {
  return pause_ms > 0 ? detail::concat(", ", pause_ms, " ms of rest before each") : "";
}

}  // namespace

std::string BenchReport::text() const {
  const auto& f = facts;
  std::string out = detail::concat(
      title, "\n", f["device_name"].get<std::string>(), ", ", f["dtype"].get<std::string>(), "; torch ",
      f["torch_version"].get<std::string>(), ", CUDA ", f["cuda"].get<std::string>(), "; hici ",
      f["version"].get<std::string>(), " (", f["git_revision"].get<std::string>(), ")\n", "matrix product of ",
      f["matrix_size"].get<int64_t>(), "^3: ", shown_number(f["matrix_tflops"], 1),
      " TFLOP/s; copy: ", shown_number(f["copy_gb_per_second"], 1), " GB/s read and written; median of ",
      f["repetitions"].get<int64_t>(), " after ", f["warmup"].get<int64_t>(), " for warm-up",
      pause_text(f["pause_ms"].get<int64_t>()), "\n\n", aligned_text(shown_cells(*this), num_text_columns(*this)));
  for (const std::string& note : notes) out += note + "\n";
  return out;
}

std::string BenchReport::csv() const {
  std::vector<std::string> fields;
  for (const BenchColumn& column : columns) fields.push_back(csv_field(column.heading));
  fields.emplace_back("status");
  std::string out = csv_line(fields);
  for (const nlohmann::json& row : rows) {
    fields.clear();
    for (const BenchColumn& column : columns) {
      const nlohmann::json value = cell_value(column, row);
      fields.emplace_back();
      if (value.is_string()) fields.back() = csv_field(value.get<std::string>());
      if (value.is_number()) fields.back() = every_digit(value.get<double>() / column.unit);
    }
    fields.push_back(csv_field(row.at("status").get<std::string>()));
    out += csv_line(fields);
  }
  return out;
}

std::string BenchReport::latex() const {
  std::string spec;
  for (const BenchColumn& column : columns) spec += column.is_text ? 'l' : 'r';
  std::string out = "% needs \\usepackage{booktabs}\n\\begin{tabular}{" + spec + "}\n\\toprule\n";
  auto rows_of_cells = shown_cells(*this);
  for (size_t r = 0; r < rows_of_cells.size(); ++r) {
    for (std::string& cell : rows_of_cells[r]) cell = latex_escape(cell);
    out += latex_row(rows_of_cells[r]) + (r == 0 ? "\\midrule\n" : "");
  }
  return out + "\\bottomrule\n\\end{tabular}\n";
}

nlohmann::json BenchReport::json() const {
  nlohmann::json out = facts;
  out["title"] = title;
  out["rows"] = rows;
  out["notes"] = notes;
  return out;
}

bool BenchReport::all_failed() const {
  return std::none_of(rows.begin(), rows.end(), [](const nlohmann::json& row) { return row.at("status") == kOk; });
}

nlohmann::json common_facts(const std::string& command, const BenchSpec& spec, const MachineRates& rates) {
  return {{"command", command},
          {"model", spec.model.name},
          {"parameters", spec.model.config.num_parameters()},
          {"device", spec.device.str()},
          {"device_name", device_name(spec.device)},
          {"dtype", ops::dtype_name(spec.dtype)},
          {"torch_version", kTorchVersion},
          {"cuda", spec.device.is_cuda() ? device::cuda_plugin_text() : std::string("not used")},
          {"version", kVersion},
          {"git_revision", kGitRevision},
          {"repetitions", spec.repetitions},
          {"warmup", spec.warmup},
          {"pause_ms", spec.pause_ms},
          {"matrix_size", rates.matrix_size},
          {"matrix_tflops", rates.matrix_flops_per_second / 1e12},
          {"copy_gb_per_second", rates.copy_bytes_per_second / 1e9}};
}

}  // namespace hici::bench
