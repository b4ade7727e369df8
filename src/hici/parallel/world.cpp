// SPDX-License-Identifier: Apache-2.0
#include "hici/parallel/world.h"

#include "hici/base/already_said.h"
#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/base/log.h"
#include "hici/base/quiet.h"
#include "hici/base/signals.h"
#include "hici/parallel/backends.h"
#include "hici/parallel/peer_watch.h"

#include <ATen/ATen.h>
#include <c10/util/Logging.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include <netdb.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <exception>
#include <future>
#include <map>
#include <mutex>
#include <sstream>
#include <thread>

namespace hici::parallel {
namespace {

constexpr std::chrono::seconds kJoinTimeout{300};
constexpr std::chrono::milliseconds kJoinPeriod{100};
constexpr std::chrono::milliseconds kTellTime{1500};  // in which the others have seen that one failed
constexpr std::chrono::seconds kAbortTime{2};         // NCCL's takes half a second where it works
constexpr std::chrono::seconds kUnwindTime{10};       // from an error of this process to its end

void check_resolves(const Launch& launch) {
  addrinfo* found = nullptr;
  const int error = getaddrinfo(launch.address.c_str(), nullptr, nullptr, &found);
  if (found != nullptr) freeaddrinfo(found);
  HICI_CHECK(error == 0, "MASTER_ADDR: host '", printable(launch.address), "' does not resolve: ", gai_strerror(error));
}

c10::intrusive_ptr<c10d::Store> connect(const Launch& launch, bool as_server) {
  c10d::TCPStoreOptions options;
  options.port = launch.port;
  options.isServer = as_server;
  options.waitWorkers = false;
  options.timeout = kJoinTimeout;
  c10::intrusive_ptr<c10d::Store> store = c10::make_intrusive<c10d::TCPStore>(launch.address, options);
  return c10::make_intrusive<c10d::PrefixStore>(launch.key_prefix, std::move(store));
}

// In a thread that may be left behind: who is no store of ours may never answer, and a stop signal is not waited with.
c10::intrusive_ptr<c10d::Store> open_store(const Launch& launch, bool as_server) {
  using Opened = std::promise<c10::intrusive_ptr<c10d::Store>>;
  const auto opened = std::make_shared<Opened>();
  auto store = opened->get_future();
  std::thread([launch, as_server, opened] {
    try {
      opened->set_value(connect(launch, as_server));
    } catch (...) {
      opened->set_exception(std::current_exception());
    }
  }).detach();
  const auto begun = std::chrono::steady_clock::now();
  while (store.wait_for(kJoinPeriod) != std::future_status::ready &&
         std::chrono::steady_clock::now() - begun < kJoinTimeout)
    check_stop(" while the processes of the run met");
  const std::string place = detail::concat(launch.address, ":", launch.port);
  try {
    if (store.wait_for(std::chrono::seconds(0)) == std::future_status::ready) return store.get();
  } catch (const std::exception&) {
    HICI_CHECK(!as_server, place, ": cannot listen there; is the port in use? Choose another MASTER_PORT");
  }
  fail(place, ": no answer of rank 0, which should be there; is it running, and is MASTER_ADDR right?");
}

// Every process says that it is here and waits for the others: a group that one never joins would wait for ever.
void meet(c10d::Store& store, int64_t rank, int64_t size) {
  const auto key_of = [](int64_t r) { return "here/" + std::to_string(r); };
  store.set(key_of(rank), std::vector<uint8_t>{1});
  const auto begun = std::chrono::steady_clock::now();
  for (int64_t missing = 0; missing < size; std::this_thread::sleep_for(kJoinPeriod / 5)) {
    while (missing < size && store.check({key_of(missing)})) ++missing;
    if (missing == size) return;
    check_stop(" while the processes of the run met");
    HICI_CHECK(std::chrono::steady_clock::now() - begun < kJoinTimeout, "rank ", missing, " of ", size,
               " has not come in ", kJoinTimeout.count(), " s; has it ended with an error?");
  }
}

// Destructors of groups whose other processes are gone may wait for ever; an exit code may not.
void end_within(std::chrono::seconds time, int exit_code) {
  std::thread([time, exit_code] {
    std::this_thread::sleep_for(time);
    _exit(exit_code);
  }).detach();
}

int exit_code_of(const std::exception_ptr& thrown) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Stopped& e) {
    return e.exit_code();
  } catch (const UsageError&) {
    return 2;
  } catch (...) {
    return 1;
  }
}

at::Tensor numbers(const std::vector<int64_t>& values) { return at::tensor(values, at::kLong); }

template <typename T>
std::vector<T> summed(const World& world, const std::vector<T>& values, at::ScalarType type) {
  if (world.size() == 1) return values;
  at::Tensor t = at::tensor(values, type);
  world.control().all_reduce_sum(t);
  return {t.const_data_ptr<T>(), t.const_data_ptr<T>() + t.numel()};
}

template <typename T>
T largest(const World& world, T value, at::ScalarType type) {
  if (world.size() == 1) return value;
  at::Tensor t = at::tensor(value, type);
  world.control().all_reduce_max(t);
  return t.item<T>();
}

// The leader's text to all.
std::string broadcast_text(const World& world, const std::string& text) {
  at::Tensor length = numbers({static_cast<int64_t>(text.size())});
  world.control().broadcast(length, 0);
  at::Tensor bytes = at::empty({length.item<int64_t>()}, at::kByte);
  if (bytes.numel() == 0) return "";
  if (world.is_leader()) std::copy(text.begin(), text.end(), bytes.mutable_data_ptr<uint8_t>());
  world.control().broadcast(bytes, 0);
  const auto* data = bytes.const_data_ptr<uint8_t>();
  return {data, data + bytes.numel()};
}

Facts facts_of_program(const std::string& options) {
  Facts facts{{"the program", version_text()}};
  std::istringstream lines(options);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# ")) line = line.substr(2);
    const size_t equals = line.find(" = ");
    if (equals != std::string::npos)
      facts.emplace_back("the option " + line.substr(0, equals), line.substr(equals + 3));
  }
  return facts;
}

Facts facts_of_text(const std::string& text) {
  Facts facts;
  std::istringstream in(text);
  std::string name, value;
  while (std::getline(in, name, '\0') && std::getline(in, value, '\0')) facts.emplace_back(name, value);
  return facts;
}

// "NAME is 'HERE' here and 'THERE' there"; what one of them does not have is nothing.
std::string first_difference(const Facts& here, const Facts& there) {
  const std::map<std::string, std::string> theirs(there.begin(), there.end()), ours(here.begin(), here.end());
  const auto said = [](const std::string& name, const std::string& one, const std::string& other) {
    return detail::concat(name, " is '", printable(one), "' here and '", printable(other), "' there");
  };
  for (const auto& [name, value] : here) {
    const auto found = theirs.find(name);
    if (found == theirs.end()) return said(name, value, "nothing");
    if (found->second != value) return said(name, value, found->second);
  }
  for (const auto& [name, value] : there) {
    if (!ours.contains(name)) return said(name, "nothing", value);
  }
  return "the order of what they know";
}

}  // namespace

struct World::Joined {
  c10::intrusive_ptr<c10d::Store> host;   // where this process is the server: outlives all else
  c10::intrusive_ptr<c10d::Store> store;  // of the main thread
  std::unique_ptr<PeerWatch> watch;
  at::Device device = at::kCPU;
  std::string label;  // begins an error line of this process
  std::mutex mutex;
  std::vector<ProcessGroup> groups;  // of the device
  int64_t blocks_made = 0;

  // Ends the process at once: the main thread may wait in a collective, or for a device that waits in one. What a
  // checkpoint has on disk by now is found or cleaned up by the next start.
  [[noreturn]] void end(const std::string& line) {
    write_error_line(label + ": error: " + line + "; this process ends with it");
    if (host) std::this_thread::sleep_for(kTellTime);  // with the store goes what the others have to read
    end_within(kAbortTime, kPeerFailureExitCode);
    const std::lock_guard lock(mutex);
    for (const ProcessGroup& group : groups) abort(group);
    _exit(kPeerFailureExitCode);
  }

  OnFailure on_failure() const {
    return [peers = watch.get()](const std::string& what) { peers->end_after_failed_collective(what); };
  }

  ProcessGroup make_group(const std::string& name, int64_t rank, int64_t size) {
    ProcessGroup group = device.is_cuda() ? make_nccl_group(store, name, rank, size, on_failure())
                                          : make_gloo_group(store, name, rank, size, on_failure());
    if (group.is_alone()) return group;
    const std::lock_guard lock(mutex);
    groups.push_back(group);
    return group;
  }
};

World::World() = default;

World::World(const Launch& launch, const Mesh& mesh, at::Device device, const Facts& same) : mesh_(mesh) {
  const auto [rank, size, local_rank, said_by] = launch.process;
  HICI_ASSERT(mesh.world() == size, mesh.data, " x ", mesh.segments, " of ", size);
  if (size == 1) return;
  check_resolves(launch);
  // c10d's record of collectives is not safe where the threads of a backward pass make some too.
  setenv("TORCH_FR_BUFFER_SIZE", "0", /*overwrite=*/0);
  // It also tells of each connection that ends, with a stack of calls; the watch says what a person needs.
  if (std::getenv("TORCH_CPP_LOG_LEVEL") == nullptr) FLAGS_caffe2_log_level = c10::GLOG_ERROR;
  joined_ = std::make_unique<Joined>();
  joined_->device = device;
  joined_->label = detail::concat("hici [rank ", rank, " of ", size, "]");
  if (rank == 0 && !launch.has_agent_store) joined_->host = open_store(launch, /*as_server=*/true);
  joined_->store = open_store(launch, false);
  joined_->watch = std::make_unique<PeerWatch>(
      open_store(launch, false), rank, size, [joined = joined_.get()](const std::string& line) { joined->end(line); },
      PeerWatch::Settings{});
  meet(*joined_->store, rank, size);
  control_ = make_gloo_group(joined_->store, "control", rank, size, joined_->on_failure());
  joined_->watch->start();
  check_same(*this, same);
  all_ = joined_->make_group("all", rank, size);
  segments_ = mesh.segments == size ? all_
                                    : joined_->make_group(detail::concat("segments/", mesh.data_rank(rank)),
                                                          mesh.segment_rank(rank), mesh.segments);
}

World::~World() {
  if (!joined_ || std::uncaught_exceptions() > 0) return;
  control_.barrier(at::kCPU);
  joined_->watch->stop();
  for (const ProcessGroup& group : joined_->groups) shut_down(group);
  // The server of the store goes last.
  try {
    joined_->store->add("left", 1);
    const auto begun = std::chrono::steady_clock::now();
    while (joined_->host && joined_->store->add("left", 0) < size() &&
           std::chrono::steady_clock::now() - begun < std::chrono::seconds(5))
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
  } catch (const std::exception&) {
    // The others are done, and so is this one.
  }
}

ProcessGroup World::make_block(int64_t block) const {
  HICI_ASSERT(block >= 1 && size() % block == 0, size(), " processes in blocks of ", block);
  if (!joined_ || block == 1) return {};
  const std::string name = detail::concat("block/", joined_->blocks_made++, "/", rank() / block);
  return joined_->make_group(name, rank() % block, block);
}

void World::set_step(int64_t step) const {
  if (joined_) joined_->watch->set_step(step);
}

void World::guard(const std::function<void()>& work) const {
  if (!joined_) return work();
  try {
    work();
  } catch (const AlreadySaid&) {
    throw;
  } catch (const std::exception& e) {
    std::string first;
    const int exit_code = exit_code_of(std::current_exception());
    const bool is_news = joined_->watch->report(e.what(), &first) || first != e.what();
    end_within(kUnwindTime, exit_code);
    if (joined_->host) std::this_thread::sleep_for(kTellTime);
    if (is_news) throw;
    throw AlreadySaid(exit_code, e.what());
  }
}

int in_world(int64_t segment_processes, at::Device device, const std::string& options,
             const std::function<int(const World&)>& work) {
  const Launch launch = launch_of_this_process();
  if (launch.process.rank != 0) be_quiet();
  const Mesh mesh = make_mesh(launch.process.world, segment_processes, "`segment_parallel`");
  const World world(launch, mesh, device, facts_of_program(options));
  int exit_code = 0;
  world.guard([&] { exit_code = work(world); });
  return exit_code;
}

std::string from_leader(const World& world, const std::function<std::string()>& work) {
  if (world.size() == 1) return work();
  std::string result;
  std::exception_ptr thrown;
  if (world.is_leader()) {
    try {
      result = work();
    } catch (...) {
      thrown = std::current_exception();
    }
  }
  at::Tensor exit_code = numbers({thrown ? exit_code_of(thrown) : 0});
  world.control().broadcast(exit_code, 0);
  if (thrown) std::rethrow_exception(thrown);
  const auto code = exit_code.item<int64_t>();
  if (code != 0) throw AlreadySaid(static_cast<int>(code), "rank 0 failed");
  return broadcast_text(world, result);
}

void on_leader(const World& world, const std::function<void()>& work) {
  from_leader(world, [&] {
    work();
    return std::string();
  });
}

std::vector<int64_t> sums_over(const World& world, const std::vector<int64_t>& values) {
  return summed(world, values, at::kLong);
}

std::vector<double> sums_over(const World& world, const std::vector<double>& values) {
  return summed(world, values, at::kDouble);
}

int64_t largest_of(const World& world, int64_t value) { return largest(world, value, at::kLong); }

double largest_of(const World& world, double value) { return largest(world, value, at::kDouble); }

int64_t least_of(const World& world, int64_t value) { return -largest_of(world, -value); }

void check_same(const World& world, const Facts& facts) {
  if (world.size() == 1) return;
  std::ostringstream text;
  for (const auto& [name, value] : facts) text << name << '\0' << value << '\0';
  const std::string own = text.str(), leaders = broadcast_text(world, own);
  const int64_t differs = least_of(world, own == leaders ? world.size() : world.rank());
  if (differs == world.size()) return;
  if (differs != world.rank()) throw AlreadySaid(1, "the processes differ");
  fail("rank ", world.rank(), " differs from rank 0: ", first_difference(facts, facts_of_text(leaders)),
       "; all processes of a run need the same");
}

}  // namespace hici::parallel
