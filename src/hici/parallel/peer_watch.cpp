// SPDX-License-Identifier: Apache-2.0
#include "hici/parallel/peer_watch.h"

#include <unistd.h>

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

PeerWatch::PeerWatch(c10::intrusive_ptr<c10d::Store> store, int64_t rank, int64_t size,
                     std::function<void(const std::string&)> on_end, Settings settings)
    : store_(std::move(store)), rank_(rank), size_(size), on_end_(std::move(on_end)), settings_(settings) {
  put(*store_, host_key(rank_), host_name());
  leave_sign();
}

void PeerWatch::start() {
  const Clock::time_point now = Clock::now();
  for (int64_t peer = rank_ == 0 ? 1 : 0; peer < (rank_ == 0 ? size_ : 1); ++peer) peers_.push_back({peer, "", now});
  thread_ = std::thread([this] { run(); });
}

void PeerWatch::stop() {
  {
    const std::lock_guard lock(stop_mutex_);
    is_stopping_ = true;
  }
  stop_wanted_.notify_all();
  if (thread_.joinable()) thread_.join();
}

void PeerWatch::run() {
  std::unique_lock lock(stop_mutex_);
  while (!is_stopping_) {
    lock.unlock();
    try {
      leave_sign();
      if (has_fault()) return;
      for (Peer& peer : peers_) look_at(peer);
    } catch (const std::exception& e) {
      const std::lock_guard again(stop_mutex_);
      if (!is_stopping_)
        end(detail::concat("the store of the run is gone, and with it rank 0 or the launcher's agent"));
      return;
    }
    lock.lock();
    stop_wanted_.wait_for(lock, settings_.period, [this] { return is_stopping_; });
  }
}

void PeerWatch::leave_sign() {
  const std::lock_guard lock(store_mutex_);
  put(*store_, sign_key(rank_), detail::concat(++signs_, " ", step_.load()));
}

bool PeerWatch::has_fault() {
  std::string fault;
  {
    const std::lock_guard lock(store_mutex_);
    if (!store_->check({kFault})) return false;
    fault = get(*store_, kFault);
  }
  if (reports_) return true;
  end(fault);
  return true;
}

void PeerWatch::look_at(Peer& peer) {
  std::string sign;
  {
    const std::lock_guard lock(store_mutex_);
    sign = get(*store_, sign_key(peer.rank));
  }
  const Clock::time_point now = Clock::now();
  if (sign != peer.last_sign) {
    peer.last_sign = std::move(sign);
    peer.seen = now;
    return;
  }
  if (now - peer.seen < settings_.silence) return;
  const std::string line = detail::concat(name_of(peer.rank), " has died or hangs: no sign of life for ",
                                          std::chrono::duration_cast<std::chrono::seconds>(now - peer.seen).count(),
                                          " s, the last one in step ", step_of(peer.last_sign));
  std::string first;
  if (!report(line, &first) && first != line) return end(first);
  end(line);
}

std::string PeerWatch::name_of(int64_t rank) {
  const std::lock_guard lock(store_mutex_);
  return detail::concat("rank ", rank, " of ", size_, " (", get(*store_, host_key(rank)), ")");
}

bool PeerWatch::report(const std::string& message, std::string* first) {
  reports_ = true;
  const std::lock_guard lock(store_mutex_);
  try {
    const std::vector<uint8_t> text(message.begin(), message.end());
    const std::vector<uint8_t> winner = store_->compareSet(kFault, {}, text);
    first->assign(winner.begin(), winner.end());
    return winner == text;
  } catch (const std::exception&) {  // the store is gone: nobody can be told
    *first = message;
    return true;
  }
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
