// SPDX-License-Identifier: Apache-2.0
#include "hici/parallel/process_group.h"

#include "hici/base/error.h"
#include "hici/device/device.h"
#include "hici/parallel/backends.h"

#include <ATen/ATen.h>

#include <utility>

namespace hici::parallel {
namespace {

// Queues a collective and waits for it: the host for Gloo, the current stream for NCCL.
template <typename Start>
void run(const ProcessGroup::Backend& backend, const Start& start) {
  try {
    start(*backend.c10d)->wait();
  } catch (const c10::Error& e) {
    backend.on_failure(e.what_without_backtrace());
    throw;
  } catch (const std::exception& e) {
    backend.on_failure(e.what());
    throw;
  }
}

void all_reduce(const ProcessGroup::Backend& backend, at::Tensor t, c10d::ReduceOp::RedOpType kind) {
  HICI_ASSERT(t.is_contiguous(), t.sizes());
  c10d::AllreduceOptions options;
  options.reduceOp = kind;
  std::vector<at::Tensor> tensors{std::move(t)};
  run(backend, [&](c10d::Backend& c10d) { return c10d.allreduce(tensors, options); });
}

// Gloo reads and writes without regard for each other; NCCL knows the case.
at::Tensor apart(const at::Tensor& part, const at::Tensor& whole) {
  return part.is_cuda() || !part.is_alias_of(whole) ? part : part.clone();
}

}  // namespace

ProcessGroup::ProcessGroup(std::shared_ptr<Backend> backend)
    : backend_(std::move(backend)), rank_(backend_->c10d->getRank()), size_(backend_->c10d->getSize()) {}

void ProcessGroup::all_reduce_sum(at::Tensor t) const {
  if (backend_) all_reduce(*backend_, std::move(t), c10d::ReduceOp::SUM);
}

void ProcessGroup::all_reduce_max(at::Tensor t) const {
  if (backend_) all_reduce(*backend_, std::move(t), c10d::ReduceOp::MAX);
}

void ProcessGroup::all_gather(at::Tensor all, const at::Tensor& own) const {
  HICI_ASSERT(all.is_contiguous() && own.is_contiguous() && all.numel() == size_ * own.numel(), all.sizes(),
              own.sizes());
  if (!backend_) {
    if (all.data_ptr() != own.data_ptr()) all.view(own.sizes()).copy_(own);
    return;
  }
  at::Tensor from = apart(own, all).view(-1), to = all.view(-1);
  run(*backend_, [&](c10d::Backend& c10d) { return c10d._allgather_base(to, from); });
}

void ProcessGroup::reduce_scatter(at::Tensor own, const at::Tensor& all) const {
  HICI_ASSERT(all.is_contiguous() && own.is_contiguous() && all.numel() == size_ * own.numel(), all.sizes(),
              own.sizes());
  if (!backend_) {
    if (all.data_ptr() != own.data_ptr()) own.copy_(all.view(own.sizes()));
    return;
  }
  const at::Tensor sum = apart(own, all);
  at::Tensor from = all.view(-1), to = sum.view(-1);
  c10d::ReduceScatterOptions options;
  run(*backend_, [&](c10d::Backend& c10d) { return c10d._reduce_scatter_base(to, from, options); });
  if (!sum.is_same(own)) own.copy_(sum);
}

void ProcessGroup::broadcast(at::Tensor t, int64_t root) const {
  if (!backend_) return;
  c10d::BroadcastOptions options;
  options.rootRank = root;
  std::vector<at::Tensor> tensors{std::move(t)};
  run(*backend_, [&](c10d::Backend& c10d) { return c10d.broadcast(tensors, options); });
}

void ProcessGroup::send(const at::Tensor& t, int64_t to) const {
  HICI_ASSERT(backend_ != nullptr && to != rank_, "rank ", rank_, " to ", to);
  std::vector<at::Tensor> tensors{t};
  run(*backend_, [&](c10d::Backend& c10d) { return c10d.send(tensors, static_cast<int>(to), 0); });
}

void ProcessGroup::receive(at::Tensor t, int64_t from) const {
  HICI_ASSERT(backend_ != nullptr && from != rank_, "rank ", rank_, " from ", from);
  std::vector<at::Tensor> tensors{std::move(t)};
  run(*backend_, [&](c10d::Backend& c10d) { return c10d.recv(tensors, static_cast<int>(from), 0); });
}

void ProcessGroup::barrier(at::Device device) const {
  if (!backend_) return;
  at::Tensor token = at::zeros({1}, at::TensorOptions().dtype(at::kFloat).device(device));
  all_reduce_sum(token);
  device::synchronize(device);
}

}  // namespace hici::parallel
