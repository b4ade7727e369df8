// SPDX-License-Identifier: Apache-2.0
#include "hici/parallel/launch.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/base/parse_number.h"
#include "hici/base/sha256.h"

#include <cstdlib>

namespace hici::parallel {
namespace {

// Below the ports that Linux gives to outgoing connections (32768 and above).
constexpr uint64_t kFirstPort = 20000, kNumPorts = 12000;

std::string text_of(const Environment& environment, const char* name) {
  const char* value = environment(name);
  return value == nullptr ? "" : value;
}

// The same in every process and build, as std::hash need not be.
uint16_t port_from(std::string_view name) {
  return static_cast<uint16_t>(kFirstPort + std::stoull(sha256_hex(name).substr(0, 15), nullptr, 16) % kNumPorts);
}

uint16_t port_typed(const std::string& text) {
  const auto port = parse_number<int64_t>(text);
  HICI_CHECK(port && *port >= 1 && *port <= 65535, "MASTER_PORT: '", printable(text),
             "' in the environment is no port from 1 to 65535");
  return static_cast<uint16_t>(*port);
}

// Where the launcher says no address.
void find_address(const Environment& environment, Launch& launch) {
  const std::string said_by = launch.process.said_by;
  if (said_by == "SLURM_STEP_NUM_TASKS") {
    const bool is_one_node = text_of(environment, "SLURM_STEP_NUM_NODES") == "1";
    launch.address = is_one_node ? "127.0.0.1" : first_host(text_of(environment, "SLURM_STEP_NODELIST"));
    launch.key_prefix = text_of(environment, "SLURM_JOB_ID") + "." + text_of(environment, "SLURM_STEP_ID");
  } else if (said_by == "OMPI_COMM_WORLD_SIZE") {
    const bool is_one_node = text_of(environment, "OMPI_COMM_WORLD_LOCAL_SIZE") == std::to_string(launch.process.world);
    if (is_one_node) launch.address = "127.0.0.1";
    launch.key_prefix = text_of(environment, "PMIX_NAMESPACE") + text_of(environment, "OMPI_MCA_ess_base_jobid");
  }
  HICI_CHECK(!launch.address.empty(), said_by,
             ": the launcher says how many processes there are, but not where they meet; set MASTER_ADDR (the host of "
             "rank 0) and MASTER_PORT (a free port of it) for all of them");
  launch.port = port_from(launch.key_prefix);
}

}  // namespace

std::string first_host(std::string_view node_list) {
  const size_t bracket = node_list.find('['), comma = node_list.find(',');
  if (bracket == std::string_view::npos || comma < bracket) return std::string(node_list.substr(0, comma));
  const std::string_view numbers = node_list.substr(bracket + 1);
  const size_t end = numbers.find_first_of("-,]"), close = numbers.find(']');
  if (close == std::string_view::npos || end == 0) return "";
  const std::string_view behind = numbers.substr(close + 1);
  std::string host(node_list.substr(0, bracket));
  host += numbers.substr(0, end);
  return host += behind.substr(0, behind.find(','));
}

Launch launch_of(const ProcessRank& process, const Environment& environment) {
  Launch launch;
  launch.process = process;
  if (process.world == 1) return launch;
  const std::string address = text_of(environment, "MASTER_ADDR"), port = text_of(environment, "MASTER_PORT");
  if (address.empty()) {
    find_address(environment, launch);
  } else {
    launch.address = address;
    launch.key_prefix = text_of(environment, "TORCHELASTIC_RUN_ID");
    launch.port = port.empty() ? port_from(launch.key_prefix) : 0;
  }
  if (!port.empty()) launch.port = port_typed(port);
  launch.has_agent_store = text_of(environment, "TORCHELASTIC_USE_AGENT_STORE") == "True";
  launch.key_prefix = "hici/" + launch.key_prefix + "/" + text_of(environment, "TORCHELASTIC_RESTART_COUNT");
  return launch;
}

Launch launch_of_this_process() {
  return launch_of(process_rank(), [](const char* name) -> const char* { return std::getenv(name); });
}

}  // namespace hici::parallel
