// SPDX-License-Identifier: Apache-2.0
// The element type of a kernel's tensors, for headers without LibTorch's.
#pragma once

namespace hici::ops::cuda {

enum class ElementType { kFloat32, kBFloat16, kFloat16, kFloat64 };

}  // namespace hici::ops::cuda
