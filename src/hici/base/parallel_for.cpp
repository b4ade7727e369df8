// SPDX-License-Identifier: Apache-2.0
#include "hici/base/parallel_for.h"

#include <algorithm>
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

namespace hici {
namespace {

struct SharedWork {
  size_t count;
  const std::function<void(size_t)>& work;
  std::atomic<size_t> next{0};
  std::mutex mutex{};
  std::exception_ptr failure{};

  void run() noexcept {
    for (size_t i = next++; i < count; i = next++) {
      try {
        work(i);
      } catch (...) {
        next = count;
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
      }
    }
  }
};

}  // namespace

void parallel_for(size_t count, const std::function<void(size_t)>& work, size_t num_threads) {
  if (num_threads == 0) num_threads = std::max(1U, std::thread::hardware_concurrency());
  SharedWork shared{count, work};
  std::vector<std::jthread> threads;
  for (size_t i = 1; i < std::min(num_threads, count); ++i) threads.emplace_back([&shared] { shared.run(); });
  shared.run();
  threads.clear();  // joins
  if (shared.failure) std::rethrow_exception(shared.failure);
}

}  // namespace hici
