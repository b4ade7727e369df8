// SPDX-License-Identifier: Apache-2.0
#include "hici/eval/longbench/result_record.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/base/log.h"
#include "hici/base/sha256.h"
#include "hici/base/version.h"

namespace hici::eval {

namespace fs = std::filesystem;
using nlohmann::json;

std::string longbench_record_text(const LongBenchModelScores& scores, bool by_length, const std::string& result_text) {
  HICI_ASSERT(scores.code_ratio, "scores of our own");
  return nlohmann::ordered_json{{"command", "score longbench"},
                                {"code_ratio", name_of(*scores.code_ratio)},
                                {"longbench_e", by_length},
                                {"result_sha256", sha256_hex(result_text)},
                                {"library_version", kVersion}}
             .dump(1) +
         "\n";
}

std::optional<CodeRatio> recorded_code_ratio(const fs::path& folder) {
  const fs::path file = folder / kLongBenchRecordName, result = folder / kLongBenchResultName;
  if (!is_there(file) || !is_there(result)) return std::nullopt;
  try {
    const json value = read_json_file(file, kMaxResultBytes);
    const JsonObject record(value, file.string());
    if (record.string("result_sha256") != sha256_hex(read_file(result, kMaxResultBytes))) return std::nullopt;
    return parse_enum<CodeRatio>(record.string("code_ratio"), file.string() + ": code_ratio");
  } catch (const Error& e) {
    log_warning(e.what(), "; how ", result.string(), " compares code is taken as not stated");
    return std::nullopt;
  }
}

}  // namespace hici::eval
