// SPDX-License-Identifier: Apache-2.0
// Precompiled header of libhici: nothing may rely on it being included; it only makes the heavy headers cheap. Not all
// of them: what templates custom_function.h or CLI11 use, g++ would instantiate anew in every source, for seconds.
#pragma once

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

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
