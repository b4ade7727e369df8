// SPDX-License-Identifier: Apache-2.0
// The sequences of one forward as one process has them, for training and for evaluation during it.
// B rows of T tokens, n rows of the loss
#pragma once

#include "hici/data/batch_source.h"
#include "hici/nn/causal_lm.h"
#include "hici/parallel/mesh.h"
#include "hici/parallel/world.h"

#include <ATen/core/Tensor.h>

#include <vector>

namespace hici::train {

// A batch in host memory. For a GPU it is pinned, so the host does not wait for the copy.
struct MicroBatch {
  data::TokenBatch batch;
  // Rows of the loss. If most tokens have no label (long prompts, short answers), only labelled rows are selected,
  // because the output head is a large part of a step. Not used with --stream_segments.
  at::Tensor labelled_rows_n = {};  // of the B T rows; undefined: all of them
  at::Tensor labels_n = {};
  // Segments of a whole sequence; set if the batch has a part of them.
  int64_t num_segments = 0;
  int64_t first_sequence = 0;  // number of the first row's sequence in the step over all processes; others follow it
};

// The part of a step that this process reads: every `of_data`-th batch, and of its sequences one of `of_segments` equal
// runs of segments.
struct BatchShare {
  int64_t data = 0, of_data = 1;
  int64_t segments = 0, of_segments = 1;
  int64_t segment_length = 0;  // tokens; read if of_segments > 1
  bool is_dealt = false;       // segments are dealt out one by one, for streaming; else in equal runs

  static BatchShare of(const parallel::Mesh& mesh, int64_t rank, int64_t segment_length, bool is_dealt) {
    return {mesh.data_rank(rank), mesh.data, mesh.segment_rank(rank), mesh.segments, segment_length, is_dealt};
  }
};

// Leaves this process's segments of the sequences in `micro`.
void cut_to_share(MicroBatch& micro, const BatchShare& share);
// Fills in the rows of the loss: those with a label, where these are less than half.
void pick_labelled_rows(MicroBatch& micro);
void pin(MicroBatch& micro);

// `forward` over this batch: with its padding, its sequences and the part of them that is here; without dropout.
// Pinned tensors are copied to `device` while the host goes on.
nn::ForwardOptions forward_over(const MicroBatch& micro, nn::ForwardOptions forward, const parallel::World& world,
                                at::Device device);

}  // namespace hici::train
