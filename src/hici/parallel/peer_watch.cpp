// SPDX-License-Identifier: Apache-2.0
#include "hici/parallel/peer_watch.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

namespace hici::parallel {
namespace {

using Clock = std::chrono::steady_clock;
constexpr const char* kFault = "fault";

std::string sign_key(int64_t rank) { return "sign/" + std::to_string(rank); }
std::string host_key(int64_t rank) { return "host/" + std::to_string(rank); }

void put(c10d::Store& store, const std::string& key, const std::string& value) {
  store.set(key, std::vector<uint8_t>(value.begin(), value.end()));
}

std::string get(c10d::Store& store, const std::string& key) {
  const std::vector<uint8_t> value = store.get(key);
  return {value.begin(), value.end()};
}

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "unknown host";
}

// The step that a sign of life says, after its count.
std::string step_of(const std::string& sign) { return sign.substr(std::min(sign.find(' '), sign.size() - 1) + 1); }

}  // namespace

// "RANK own MESSAGE", or "RANK other MESSAGE" of what RANK has seen of another process.
PeerWatch::Fault PeerWatch::parse_fault(const std::string& text) {
  const size_t kind = text.find(' ') + 1, message = text.find(' ', kind) + 1;
  return {std::stoll(text), text.compare(kind, 5, "other") == 0, text.substr(message)};
}

PeerWatch::PeerWatch(c10::intrusive_ptr<c10d::Store> store, int64_t rank, int64_t size,
                     std::function<void(const std::string&)> on_end, Settings settings)
    : store_(std::move(store)), rank_(rank), size_(size), on_end_(std::move(on_end)), settings_(settings) {
  put(*store_, host_key(rank_), host_name());
  leave_sign();
}

void PeerWatch::start() {
  for (int64_t peer = rank_ == 0 ? 1 : 0; peer < (rank_ == 0 ? size_ : 1); ++peer)
    peers_.push_back({peer, name_of(peer), ""});
  thread_ = std::thread([this] { run(); });
  second_thread_ = std::thread([this] { watch_the_watch(); });
}

void PeerWatch::stop() {
  {
    const std::lock_guard lock(stop_mutex_);
    is_stopping_ = true;
  }
  stop_wanted_.notify_all();
  for (std::thread* thread : {&thread_, &second_thread_}) {
    if (thread->joinable()) thread->join();
  }
}

bool PeerWatch::wait_a_period() {
  std::unique_lock lock(stop_mutex_);
  return !stop_wanted_.wait_for(lock, settings_.period, [this] { return is_stopping_; });
}

void PeerWatch::run() {
  do {
    try {
      leave_sign();
      if (has_fault()) return;
      for (Peer& peer : peers_) look_at(peer);
    } catch (const std::exception& e) {
      if (wait_a_period()) end_without_store();
      return;
    }
    last_round_ = awake_.load();
  } while (wait_a_period());
}

// Of a store that does not answer, as when its host stands still, run() never hears again.
void PeerWatch::watch_the_watch() {
  Clock::time_point before = Clock::now();
  while (wait_a_period()) {
    const Clock::time_point now = Clock::now();
    const auto passed = std::chrono::duration_cast<std::chrono::milliseconds>(now - before);
    before = now;
    awake_ = awake_.load() + std::min(passed, 2 * settings_.period);
    if (awake_.load() - last_round_.load() > settings_.silence + settings_.period && !reports_) end_without_store();
  }
}

void PeerWatch::end_without_store() {
  const std::string who = peers_.empty() || rank_ == 0
                              ? std::string("the launcher's agent")
                              : peers_.front().name + ", last seen in step " + step_of(peers_.front().last_sign) +
                                    ", or the launcher's agent";
  end("the store of the run is gone or does not answer, and with it " + who);
}

void PeerWatch::leave_sign() {
  const std::lock_guard lock(store_mutex_);
  put(*store_, sign_key(rank_), detail::concat(++signs_, " ", step_.load()));
}

bool PeerWatch::has_fault() {
  Fault fault;
  {
    const std::lock_guard lock(store_mutex_);
    if (!store_->check({kFault})) return false;
    fault = parse_fault(get(*store_, kFault));
  }
  // What is wrong there may be wrong here too, and is this process's own to say, with its own exit code.
  if (!reports_ && !fault.is_about_another) std::this_thread::sleep_for(2 * settings_.period);
  if (!reports_) end(fault.is_about_another ? fault.message : name_of(fault.rank) + " failed: " + fault.message);
  return true;
}

void PeerWatch::look_at(Peer& peer) {
  std::string sign;
  {
    const std::lock_guard lock(store_mutex_);
    sign = get(*store_, sign_key(peer.rank));
  }
  const std::chrono::milliseconds now = awake_;
  if (sign != peer.last_sign) {
    peer.last_sign = std::move(sign);
    peer.seen = now;
    return;
  }
  if (now - peer.seen < settings_.silence) return;
  const std::string line = detail::concat(peer.name, " has died or hangs: no sign of life for ",
                                          std::chrono::duration_cast<std::chrono::seconds>(now - peer.seen).count(),
                                          " s, the last one in step ", step_of(peer.last_sign));
  claim({rank_, /*is_about_another=*/true, line});
  end(line);
}

std::string PeerWatch::name_of(int64_t rank) {
  const std::lock_guard lock(store_mutex_);
  return detail::concat("rank ", rank, " of ", size_, " (", get(*store_, host_key(rank)), ")");
}

PeerWatch::Fault PeerWatch::claim(const Fault& fault) {
  const std::lock_guard lock(store_mutex_);
  try {
    const std::string text = detail::concat(fault.rank, fault.is_about_another ? " other " : " own ", fault.message);
    const std::vector<uint8_t> winner = store_->compareSet(kFault, {}, std::vector<uint8_t>(text.begin(), text.end()));
    return parse_fault({winner.begin(), winner.end()});
  } catch (const std::exception&) {  // the store is gone: nobody can be told
    return fault;
  }
}

bool PeerWatch::report(const std::string& message, std::string* first) {
  reports_ = true;
  const Fault winner = claim({rank_, /*is_about_another=*/false, message});
  *first = winner.message;
  return winner.rank == rank_;
}

void PeerWatch::end_after_failed_collective(const std::string& what) {
  // The watch of this process, or of another one, finds out who it was.
  std::this_thread::sleep_for(settings_.silence + 4 * settings_.period);
  end("a collective failed: " + what);
  for (;;) std::this_thread::sleep_for(std::chrono::hours(1));  // the other thread is ending the process
}

void PeerWatch::end(const std::string& line) {
  if (!has_ended_.exchange(true)) on_end_(line);
}

}  // namespace hici::parallel
