// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/options/deepspeed_file.h"

#include "hici/base/json.h"

namespace hici::commands {
namespace {

constexpr int64_t kMaxStage = 3;

// "none" is DeepSpeed's way to leave something where it is.
std::string offloading(const JsonObject& zero, const std::string& key, const std::string& what) {
  if (!zero.has(key)) return "";
  const std::string device = zero.object(key).string_or("device", "none");
  return device == "none" ? "" : ", " + what + " offloaded to " + printable(device, 20);
}

std::string wishes_of(const JsonObject& config) {
  if (!config.has("zero_optimization")) return "asks for no sharding";
  const JsonObject zero = config.object("zero_optimization");
  return "asks for ZeRO stage " + std::to_string(zero.integer_or("stage", 0, 0, kMaxStage)) +
         offloading(zero, "offload_optimizer", "optimizer") + offloading(zero, "offload_param", "parameters");
}

}  // namespace

std::string describe_deepspeed_file(const std::filesystem::path& file) {
  const std::string end = "; without effect: --shard says what several processes cut";
  if (!std::filesystem::exists(file)) return file.string() + ": is not there" + end;
  const nlohmann::json config = read_json_file(file);
  return file.string() + ": " + wishes_of(JsonObject(config, file.string())) + end;
}

}  // namespace hici::commands
