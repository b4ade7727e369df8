// SPDX-License-Identifier: Apache-2.0
#include "hici/io/inspect_text.h"

#include "hici/base/human.h"
#include "hici/base/json.h"

#include <iomanip>
#include <sstream>

namespace hici::io {
namespace {

using nlohmann::json;

// 6738415616 -> "6,738,415,616".
std::string grouped(int64_t value) {
  std::string digits = std::to_string(value);
  for (size_t at = digits.size(); at > 3; at -= 3) digits.insert(at - 3, 1, ',');
  return digits;
}

// "hidden_size 4096, num_hidden_layers 32".
std::string pairs(const json& object) {
  std::string out;
  for (const auto& [key, value] : object.items())
    out += (out.empty() ? "" : ", ") + key + " " + (value.is_string() ? value.get<std::string>() : shown_json(value));
  return out;
}

void add_weights(std::ostringstream& out, const json& report) {
  uint64_t bytes = 0;
  for (const json& file : report["weights"]) bytes += file["bytes"].get<uint64_t>();
  out << "  weights     " << counted(static_cast<int64_t>(report["weights"].size()), "file") << ", "
      << grouped(static_cast<int64_t>(bytes)) << " bytes\n";
}

void add_parameters(std::ostringstream& out, const json& parameters) {
  out << "  parameters  " << grouped(parameters["total"].get<int64_t>()) << " (";
  std::string types;
  for (const auto& [type, count] : parameters["types"].items()) types += (types.empty() ? "" : ", ") + type;
  out << types << ")\n";
  for (const auto& [group, count] : parameters["groups"].items())
    out << "    " << std::left << std::setw(20) << group << std::right << std::setw(18) << grouped(count.get<int64_t>())
        << "\n";
}

void add_tensors(std::ostringstream& out, const json& tensors) {
  out << "  tensors\n";
  for (const json& tensor : tensors)
    out << "    " << tensor["name"].get<std::string>() << " " << tensor["shape"].dump() << " "
        << tensor["dtype"].get<std::string>() << (tensor["count"] == 1 ? "" : " x" + tensor["count"].dump()) << "\n";
}

void add_leftovers(std::ostringstream& out, const json& leftovers) {
  out << "  unfinished\n";
  for (const json& leftover : leftovers)
    out << "    " << leftover["path"].get<std::string>()
        << (leftover["in_use"] == true ? ": is being written, or nobody can tell here\n"
                                       : ": left by a process that ended early; what writes there next removes it\n");
}

}  // namespace

std::string inspection_text(const json& report) {
  std::ostringstream out;
  out << report["path"].get<std::string>() << ": " << report["kind"].get<std::string>() << "\n";
  for (const char* key : {"config", "rope", "lora", "hici", "trained", "checkpoint", "base", "tokenizer", "tokens"})
    if (report.contains(key)) out << "  " << std::left << std::setw(12) << key << pairs(report[key]) << "\n";
  if (report.contains("base_model")) out << "  base_model  " << report["base_model"].get<std::string>() << "\n";
  if (report.contains("checkpoints")) out << "  checkpoints " << shown_json(report["checkpoints"]) << "\n";
  if (report.contains("weights")) add_weights(out, report);
  if (report.contains("parameters")) add_parameters(out, report["parameters"]);
  if (report.contains("tensors")) add_tensors(out, report["tensors"]);
  if (report.contains("leftovers")) add_leftovers(out, report["leftovers"]);
  out << "  problems    " << (report["problems"].empty() ? "none" : std::to_string(report["problems"].size()))
      << (report.contains("parameters") ? ", values of tensors not looked at\n" : "\n");
  for (const json& problem : report["problems"]) out << "    " << problem.get<std::string>() << "\n";
  return out.str();
}

}  // namespace hici::io
