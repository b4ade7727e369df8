// SPDX-License-Identifier: Apache-2.0
#include "hici/nn/dropout.h"

#include "hici/base/error.h"

#include <utility>

namespace hici::nn {
namespace {

Dropout& in_force() {
  thread_local Dropout dropout;
  return dropout;
}

}  // namespace

ops::AdapterDropout Dropout::of_rows(int64_t rows, at::Device device) const {
  if (!any()) return {};
  const int64_t batch = static_cast<int64_t>(sequences.size());
  HICI_ASSERT(batch > 0 && rows % batch == 0, rows, " rows of ", batch, " sequences");
  const int64_t each = rows / batch;
  HICI_ASSERT(first * each % units == 0, each, " rows of ", units, " units from ", first);
  std::vector<uint64_t> keys;
  for (const int64_t sequence : sequences)
    keys.push_back(ops::dropout_key({key, static_cast<uint64_t>(sequence), is_of_slots ? uint64_t{1} : uint64_t{0}}));
  return {rate, ops::dropout_rows(keys, first * each / units, each, device)};
}

DropoutScope::DropoutScope(Dropout dropout) : previous_(std::exchange(in_force(), std::move(dropout))) {}

DropoutScope::~DropoutScope() { in_force() = std::move(previous_); }

const Dropout& DropoutScope::current() { return in_force(); }

Dropout DropoutScope::for_slots() {
  Dropout out = in_force();
  out.is_of_slots = true;
  return out;
}

Dropout DropoutScope::for_units(int64_t first, int64_t units) {
  Dropout out = in_force();
  out.first = first;
  out.units = units;
  return out;
}

Dropout DropoutScope::for_sequence(int64_t row_of_batch, int64_t begin) {
  Dropout out = for_units(0, 1);
  if (!out.any()) return out;
  out.sequences = {out.sequences.at(static_cast<size_t>(row_of_batch))};
  // The first one is as it is in a row of its own.
  if (begin > 0) out.key = ops::dropout_key({out.key, static_cast<uint64_t>(begin)});
  return out;
}

}  // namespace hici::nn
