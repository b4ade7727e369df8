// SPDX-License-Identifier: Apache-2.0
#include "hici/parallel/mesh.h"

#include "hici/base/error.h"
#include "hici/base/human.h"

namespace hici::parallel {

Mesh make_mesh(int64_t world, int64_t segments, const char* subject) {
  HICI_CHECK_USAGE(segments >= 1 && world % segments == 0, subject, ": ", segments, " does not divide the ", world,
                   world == 1 ? " process" : " processes",
                   "; use as many processes as are a multiple of it, or a number that divides them");
  return {world / segments, segments};
}

void check_enough_segments(int64_t processes, int64_t segments, const char* subject) {
  HICI_CHECK_USAGE(processes <= segments, subject, ": ", processes, " processes cannot share a sequence of ",
                   counted(segments, "segment"), "; use as many at most");
}

}  // namespace hici::parallel
