// SPDX-License-Identifier: Apache-2.0
#include "hici/device/stopwatch.h"

#include <c10/core/impl/VirtualGuardImpl.h>

namespace hici::device {
namespace {

void record(std::optional<c10::Event>& event, at::Device device) {
  // This flag asks for times too.
  if (!event) event.emplace(device.type(), c10::EventFlag::BACKEND_DEFAULT);
  event->record(c10::impl::VirtualGuardImpl(device.type()).getStream(device));
}

}  // namespace

void Stopwatch::start() {
  start_ = std::chrono::steady_clock::now();
  if (device_.is_cuda()) record(started_, device_);
}

void Stopwatch::stop() {
  stop_ = std::chrono::steady_clock::now();
  if (device_.is_cuda()) record(stopped_, device_);
}

double Stopwatch::seconds() const {
  if (device_.is_cuda()) {
    stopped_->synchronize();
    return started_->elapsedTime(*stopped_) / 1e3;
  }
  return std::chrono::duration<double>(stop_ - start_).count();
}

}  // namespace hici::device
