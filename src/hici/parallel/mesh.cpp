// SPDX-License-Identifier: Apache-2.0
#include "hici/parallel/mesh.h"

#include "hici/base/error.h"

namespace hici::parallel {

Mesh make_mesh(int64_t world, int64_t segments, const char* subject) {
  HICI_CHECK_USAGE(segments >= 1 && world % segments == 0, subject, ": ", segments, " does not divide the ", world,
                   world == 1 ? " process" : " processes",
                   " of this run; start a multiple of it with torchrun, srun or mpirun");
  return {world / segments, segments};
}

}  // namespace hici::parallel
