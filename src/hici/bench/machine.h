// SPDX-License-Identifier: Apache-2.0
// Properties of the measured machine: a stopwatch for queued work, and the matrix rate and the copy rate.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

namespace hici::bench {

// Seconds of `work` on the device. It waits for earlier queued work, idles for `pause_ms`, starts the clock, runs
// `work` and waits for its end.
double seconds_of(at::Device device, const std::function<void()>& work, int64_t pause_ms);

// Runs the work. False if memory ran out, on any device. Other errors are not caught.
bool has_room_for(const std::function<void()>& work);

struct Spread {
  double median = 0;
  double min = 0;
  double max = 0;
};

// At least one value; the median of an even number is the mean of the two in the middle.
Spread spread_of(std::vector<double> values);

struct MachineRates {
  int64_t matrix_size = 0;             // n of the n x n x n product
  double matrix_flops_per_second = 0;  // of a product of two matrices of random numbers, 2 n^3
  double copy_bytes_per_second = 0;    // within the device's memory; bytes read and bytes written are both counted
};

// Medians of several runs with tensors of `type`, each after a pause: 8192^3 and 1 GiB on a GPU, 1024^3 and 256 MiB on
// a CPU.
MachineRates measure_machine(at::Device device, at::ScalarType type, int64_t pause_ms);

// "NVIDIA H200 (cuda:0)"; the processor's name and the number of threads on a CPU.
std::string device_name(at::Device device);

}  // namespace hici::bench
