// SPDX-License-Identifier: Apache-2.0
// How the processes of a run share its work: data x segments. Processes that work on the segments of one sequence have
// neighbouring ranks, which launchers place on one node.
#pragma once

#include <cstdint>

namespace hici::parallel {

struct Mesh {
  int64_t data = 1;      // sequences in work at a time, each with others
  int64_t segments = 1;  // processes of one sequence

  int64_t world() const { return data * segments; }
  int64_t data_rank(int64_t rank) const { return rank / segments; }
  int64_t segment_rank(int64_t rank) const { return rank % segments; }
};

// A usage error when `world` processes cannot be dealt into groups of `segments`. `subject` is the field that said so.
Mesh make_mesh(int64_t world, int64_t segments, const char* subject);

// A usage error where `processes` are to share a sequence of fewer `segments`.
void check_enough_segments(int64_t processes, int64_t segments, const char* subject);

}  // namespace hici::parallel
