// SPDX-License-Identifier: Apache-2.0
// Precompiled header of libhici: nothing may rely on it being included; it only makes the heavy headers cheap.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>
