// SPDX-License-Identifier: Apache-2.0
// The result of `hici bench`: facts about the run, one row for each case, and the same table as text, CSV, LaTeX and
// JSON.
#pragma once

#include "hici/bench/bench_spec.h"
#include "hici/bench/machine.h"

#include <nlohmann/json.hpp>

#include <string>
#include <vector>

namespace hici::bench {

struct BenchColumn {
  std::string heading;
  std::string key;  // where the value is in a row, as a JSON pointer: "/step_ms", "/parts_percent/loss"
  double unit = 1;  // a shown value is the row's divided by it
  bool is_text = false;
};

struct BenchReport {
  nlohmann::json facts;
  std::string title;                 // what was measured, one line
  std::vector<BenchColumn> columns;  // columns of text first
  std::vector<nlohmann::json> rows;  // "status" is "ok" or why there are no numbers
  std::vector<std::string> notes;    // lines below the table

  // The facts, then a heading of a few lines, from the same values.
  std::string text() const;
  std::string csv() const;    // every digit; empty fields where there is no value
  std::string latex() const;  // a tabular with the rules of the booktabs package
  nlohmann::json json() const;
  bool all_failed() const;
};

inline constexpr const char* kOk = "ok";
inline constexpr const char* kOutOfMemory = "out of memory";

// Facts that every bench states: model, device, versions, and the rates just measured.
nlohmann::json common_facts(const std::string& command, const BenchSpec& spec, const MachineRates& rates);

}  // namespace hici::bench
