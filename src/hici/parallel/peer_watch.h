// SPDX-License-Identifier: Apache-2.0
// Notices within seconds that a process of the run has died, hangs or has failed, and ends this one then: a collective
// would wait for it for ever. Each process leaves a sign of life in the store twice a second and looks for the others':
// the leader at all, the others at the leader's. No process stands still unnoticed for longer than kSilence.
#pragma once

#include "hici/base/error.h"

#include <torch/csrc/distributed/c10d/Store.hpp>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace hici::parallel {

// The exit code of a process that ends because another one of the run failed.
constexpr int kPeerFailureExitCode = 3;

class PeerWatch {
 public:
  struct Settings {
    std::chrono::milliseconds period{500};
    std::chrono::milliseconds silence{6000};
  };
  // `store` is this thread's alone. `on_end(line)` ends the process; it is called at most once, from any thread.
  // All processes of the run must have made theirs before one of them calls start().
  PeerWatch(c10::intrusive_ptr<c10d::Store> store, int64_t rank, int64_t size,
            std::function<void(const std::string& line)> on_end, Settings settings);
  ~PeerWatch() { stop(); }
  PeerWatch(const PeerWatch&) = delete;
  PeerWatch& operator=(const PeerWatch&) = delete;

  void start();
  // No more signs of life from here: a process that ends as it should.
  void stop();

  // The step in work, for the line that tells of this process's end.
  void set_step(int64_t step) { step_ = step; }

  // This process is about to fail with `message`: the others end too. False when one of them was first; then `first`
  // is its message, without the name of its process.
  bool report(const std::string& message, std::string* first);

  // A collective failed here. Most often a process has died, which will be known by name soon; else `what` is said.
  // Does not return.
  void end_after_failed_collective(const std::string& what);

 private:
  struct Peer {
    int64_t rank;
    std::string name;  // "rank 1 of 4 (HOST)"
    std::string last_sign;
    std::chrono::milliseconds seen{0};  // of awake_
  };
  void run();
  void watch_the_watch();
  bool wait_a_period();  // false: it is to stop
  void end_without_store();
  struct Fault {
    int64_t rank;           // who said so
    bool is_about_another;  // of its own failure otherwise
    std::string message;
  };
  static Fault parse_fault(const std::string& text);
  // Says it to all, unless another one was first: returns the one that counts.
  Fault claim(const Fault& fault);
  void leave_sign();
  bool has_fault();  // ends the process when there is one
  void look_at(Peer& peer);
  void end(const std::string& line);
  std::string name_of(int64_t rank);

  c10::intrusive_ptr<c10d::Store> store_;
  int64_t rank_, size_;
  std::function<void(const std::string&)> on_end_;
  Settings settings_;
  std::atomic<int64_t> step_{0};
  std::atomic<bool> has_ended_{false};
  // Time in which this process was running: one that was suspended finds that the others' signs of life are old, and
  // must not take them for dead. And the time of the last round of run(), which may wait for a store that is gone.
  std::atomic<std::chrono::milliseconds> awake_{std::chrono::milliseconds{0}},
      last_round_{std::chrono::milliseconds{0}};
  std::atomic<bool> reports_{false};  // this process says by itself why it ends
  int64_t signs_ = 0;
  std::vector<Peer> peers_;
  std::mutex store_mutex_;  // report() comes from another thread
  std::mutex stop_mutex_;
  std::condition_variable stop_wanted_;
  bool is_stopping_ = false;
  std::thread thread_, second_thread_;
};

}  // namespace hici::parallel
