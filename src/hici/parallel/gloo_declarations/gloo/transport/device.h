// SPDX-License-Identifier: Apache-2.0
// What ProcessGroupGloo.hpp needs of Gloo: pointers to these types pass through it.
#pragma once

namespace gloo::transport {
class Device;
class UnboundBuffer;
}  // namespace gloo::transport
