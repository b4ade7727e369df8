// SPDX-License-Identifier: Apache-2.0
// Independent pieces of work on all cores.
#pragma once

#include <cstddef>
#include <functional>

namespace hici {

// Calls work(i) once for every i below `count`, each on some thread; the next free thread takes the next i. Returns
// when all are done. After an exception no new piece is begun, and the first one is thrown here. `num_threads` 0: as
// many as there are cores.
void parallel_for(size_t count, const std::function<void(size_t)>& work, size_t num_threads = 0);

}  // namespace hici
