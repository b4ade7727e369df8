// SPDX-License-Identifier: Apache-2.0
// Precompiled header of tests that see no tensor (PLAIN in tests/CMakeLists.txt). As hici/pch.h: nothing may rely on
// it.
#pragma once

#include <gtest/gtest.h>
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
