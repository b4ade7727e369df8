// SPDX-License-Identifier: Apache-2.0
// Collectives of a group of processes, over c10d: NCCL for tensors on GPUs, Gloo for tensors on the host. A group of
// one does nothing, so that no caller asks. All processes of a group make the same calls in the same order, with
// tensors of the same sizes and types; sums are added in an order that depends on the group alone.
//
// On a GPU a call is queued on the current stream, like a kernel, and the host goes on. On the host it returns when the
// tensors are ready. When another process of the run has died, a call ends this process (peer_watch.h).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

namespace hici::parallel {

class ProcessGroup {
 public:
  // What moves the data; makers are in backends.h.
  struct Backend;

  ProcessGroup() = default;  // of one
  explicit ProcessGroup(std::shared_ptr<Backend> backend);

  int64_t rank() const { return rank_; }
  int64_t size() const { return size_; }
  bool is_alone() const { return size_ == 1; }

  // t becomes the sum, or the maximum, over the processes. Contiguous.
  void all_reduce_sum(at::Tensor t) const;
  void all_reduce_max(at::Tensor t) const;
  // own [...] of each process, in the order of the ranks -> all [n, ...]. `own` may be a part of `all`.
  void all_gather(at::Tensor all, const at::Tensor& own) const;
  // all [n, ...]; own [...] becomes the sum over the processes of row rank(). `own` may be that row. A group of one
  // copies where `own` is another tensor.
  void reduce_scatter(at::Tensor own, const at::Tensor& all) const;
  // t of process `root` to all others.
  void broadcast(at::Tensor t, int64_t root) const;
  void send(const at::Tensor& t, int64_t to) const;
  void receive(at::Tensor t, int64_t from) const;
  // Returns when all processes have called it. On a GPU it waits for the device too.
  void barrier(at::Device device) const;

  const std::shared_ptr<Backend>& backend() const { return backend_; }  // null: of one

 private:
  std::shared_ptr<Backend> backend_;  // null: of one
  int64_t rank_ = 0, size_ = 1;
};

}  // namespace hici::parallel
