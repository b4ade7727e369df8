// SPDX-License-Identifier: Apache-2.0
// A group whose processes are threads of the test.
#pragma once

#include "hici/parallel/backends.h"

#include <torch/csrc/distributed/c10d/HashStore.hpp>

#include <cstdlib>
#include <functional>
#include <string>
#include <thread>
#include <vector>

namespace hici::testing {

// work(group) in `size` threads at once, each with its rank; what one of them throws is thrown here.
inline void in_threads(int64_t size, const std::function<void(const parallel::ProcessGroup&)>& work) {
  // c10d's record of collectives is one for a process and not for several threads (LibTorch 2.11). The variable is read
  // at the first collective.
  setenv("TORCH_FR_BUFFER_SIZE", "0", /*overwrite=*/1);
  const c10::intrusive_ptr<c10d::Store> store = c10::make_intrusive<c10d::HashStore>();
  std::vector<std::exception_ptr> thrown(static_cast<size_t>(size));
  std::vector<parallel::ProcessGroup> groups(static_cast<size_t>(size));  // until all have made their last call
  std::vector<std::thread> threads;
  for (int64_t rank = 0; rank < size; ++rank) {
    threads.emplace_back([&, rank] {
      try {
        parallel::ProcessGroup& group = groups[static_cast<size_t>(rank)];
        group = parallel::make_gloo_group(store, "test", rank, size, [](const std::string&) {});
        work(group);
      } catch (...) {
        thrown[static_cast<size_t>(rank)] = std::current_exception();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& each : thrown) {
    if (each) std::rethrow_exception(each);
  }
}

}  // namespace hici::testing
