// SPDX-License-Identifier: Apache-2.0
#include "hici/parallel/backends.h"

#include "hici/base/error.h"
#include "hici/base/json.h"
#include "hici/device/kernel_table.h"

#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include <chrono>

namespace hici::parallel {
namespace {

// Processes wait for each other as long as the work of one takes (a corpus to tokenize). Who is gone is noticed by
// peer_watch.h, in seconds.
constexpr std::chrono::hours kLongest{24 * 7};

c10::intrusive_ptr<c10d::Store> part_of(const c10::intrusive_ptr<c10d::Store>& store, const std::string& name) {
  return c10::make_intrusive<c10d::PrefixStore>(name, store);
}

}  // namespace

ProcessGroup make_gloo_group(const c10::intrusive_ptr<c10d::Store>& store, const std::string& name, int64_t rank,
                             int64_t size, const OnFailure& on_failure) {
  if (size == 1) return {};
  c10::intrusive_ptr<c10d::Backend> backend;
  try {
    const auto options = c10d::ProcessGroupGloo::Options::create_default(kLongest);
    backend = c10::make_intrusive<c10d::ProcessGroupGloo>(part_of(store, name), static_cast<int>(rank),
                                                          static_cast<int>(size), options);
  } catch (const std::exception& e) {
    const std::string what = e.what();
    fail("Gloo: ", printable(what.substr(0, what.find('\n'))),
         "; does the name of this host resolve, and is GLOO_SOCKET_IFNAME, where it is set, one of its networks?");
  }
  return ProcessGroup(std::make_shared<ProcessGroup::Backend>(ProcessGroup::Backend{std::move(backend), on_failure}));
}

ProcessGroup make_nccl_group(const c10::intrusive_ptr<c10d::Store>& store, const std::string& name, int64_t rank,
                             int64_t size, const OnFailure& on_failure) {
  if (size == 1) return {};
  const c10::intrusive_ptr<c10d::Store> part = part_of(store, name);
  const auto make = device::cuda_kernels().make_nccl_backend;
  HICI_CHECK(make != nullptr,
             "this build's CUDA plug-in has no NCCL; build it with the nvidia-nccl wheel beside torch");
  auto backend = c10::intrusive_ptr<c10d::Backend>::reclaim(
      make(part.get(), static_cast<int>(rank), static_cast<int>(size), kLongest.count() * 3600));
  return ProcessGroup(std::make_shared<ProcessGroup::Backend>(ProcessGroup::Backend{std::move(backend), on_failure}));
}

void abort(const ProcessGroup& group) {
  if (const auto& backend = group.backend()) backend->c10d->abort();
}

void shut_down(const ProcessGroup& group) {
  if (const auto& backend = group.backend()) backend->c10d->shutdown();
}

}  // namespace hici::parallel
