// SPDX-License-Identifier: Apache-2.0
// The type in which an op of a given storage type accumulates.
#pragma once

#include <c10/core/ScalarType.h>

namespace hici::ops {

// float64 stays float64; everything else accumulates in float32.
inline c10::ScalarType accumulation_type(c10::ScalarType type) {
  return type == c10::ScalarType::Double ? c10::ScalarType::Double : c10::ScalarType::Float;
}

}  // namespace hici::ops
