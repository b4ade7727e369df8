// SPDX-License-Identifier: Apache-2.0
// In which order the samples of a data set are visited.
#pragma once

#include <cstdint>

namespace hici::data {

// Where an order stands: `index` samples of epoch `epoch` have been handed out.
struct SamplerPosition {
  int64_t epoch = 0;
  int64_t index = 0;
  bool operator==(const SamplerPosition&) const = default;
};

// The endless order in which samples are visited, with a position that a checkpoint can hold.
class SampleOrder {
 public:
  virtual ~SampleOrder() = default;
  virtual int64_t next() = 0;
  virtual SamplerPosition position() const = 0;
  virtual void seek(const SamplerPosition& position) = 0;
};

}  // namespace hici::data
