// SPDX-License-Identifier: Apache-2.0
// State of an optimizer in pinned host memory (--offload optimizer). An update takes it to the device piece by piece
// and back: one piece on its way in, one at work, one on its way out.
#pragma once

#include "hici/parallel/flat_layout.h"

#include <ATen/core/Tensor.h>
#include <c10/core/Event.h>
#include <c10/core/Stream.h>

#include <array>
#include <functional>
#include <optional>
#include <vector>

namespace hici::optim {

class HostState {
 public:
  // Elements of a piece, and pieces that are on the device at a time.
  static constexpr int64_t kPieceElements = int64_t{8} << 20;
  static constexpr int64_t kPiecesOnDevice = 3;

  // State for tensors of `sizes` elements: `kinds` numbers of `type` for each element, such as two moments. Zeros.
  HostState(const std::vector<int64_t>& sizes, int64_t kinds, at::ScalarType type, at::Device device);

  // The state of one tensor, [size], in host memory.
  at::Tensor of(size_t tensor, int64_t kind) const;

  // A part of one tensor that is on the device, and where it lies in the tensor.
  struct Part {
    size_t tensor;
    int64_t begin, size;
    std::vector<at::Tensor> state;  // of each kind, [size]
  };
  // update(parts) for every element once. What it writes to the state is in host memory after finish().
  void update(const std::function<void(const std::vector<Part>&)>& update);
  // Waits for the copies to the host. Before anybody else reads the state.
  void finish() const;

 private:
  at::Tensor piece_of(const at::Tensor& flat, int64_t piece) const;
  std::vector<Part> parts_of(int64_t piece, const at::Tensor& staged) const;
  void copy_in(int64_t piece);
  void copy_out(int64_t piece);

  struct Staging {
    at::Tensor state;  // [kinds, piece]
    std::optional<c10::Event> filled, free;
  };
  Staging& staging_of(int64_t piece) { return staging_[static_cast<size_t>(piece % kPiecesOnDevice)]; }

  at::Device device_;
  parallel::FlatLayout layout_;   // a shard is a piece
  std::vector<at::Tensor> flat_;  // of each kind, [total], on the host
  std::array<Staging, kPiecesOnDevice> staging_;
  std::optional<c10::Stream> in_, out_;  // of a GPU
};

}  // namespace hici::optim
