// SPDX-License-Identifier: Apache-2.0
#include "hici/commands/failure_text.h"

#include "hici/base/error.h"

#include <ATen/Functions.h>
#include <c10/util/Exception.h>

#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <new>
#include <stdexcept>
#include <tuple>
#include <vector>

namespace hici::commands {
namespace {

std::string text_of(const std::function<void()>& failing) {
  try {
    failing();
  } catch (const std::exception& e) {
    return failure_text(e);
  }
  return "no error";
}

constexpr const char* kUseLess = "; use shorter sequences, a smaller batch or a narrower --dtype, or a larger machine";

TEST(FailureTextTest, OurOwnErrorsSayWhatTheyAre) {
  EXPECT_EQ(text_of([] { fail("config.json: bad"); }), "config.json: bad");
}

TEST(FailureTextTest, MemoryThatRanOutHasAWayOut) {
  EXPECT_EQ(text_of([] { throw std::bad_alloc(); }),
            std::string("out of memory: the system does not give more") + kUseLess);
  EXPECT_EQ(text_of([] { std::vector<char>().resize(SIZE_MAX); }),
            std::string("out of memory: the system does not give more") + kUseLess);
  // "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried ..."
  EXPECT_EQ(text_of([] { at::empty({int64_t{1} << 56}, at::kByte); }),
            std::string("out of memory: the system does not give 65536 TiB more") + kUseLess);
  EXPECT_EQ(text_of([] {
              throw c10::OutOfMemoryError({"f", "x.cpp", 1},
                                          "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total");
            }),
            std::string("out of memory: the GPU does not give 2.00 GiB") + kUseLess);
}

TEST(FailureTextTest, FaultsOfTheFileSystemNameThePath) {
  EXPECT_EQ(text_of([] { std::ignore = std::filesystem::file_size("/no/such/file"); }),
            "/no/such/file: cannot be used (No such file or directory); check that it is there and may be read and "
            "written");
}

TEST(FailureTextTest, WhatLibrariesThrowIsOneCleanLine) {
  const std::string torch = text_of([] { TORCH_CHECK(false, "Expected all tensors\x1b[2J\nto be there"); });
  EXPECT_EQ(torch, "LibTorch: Expected all tensors?[2J; if options and files are sound, this is a bug");
  EXPECT_EQ(text_of([] { std::string("x").substr(2); }).find("internal error: basic_string::substr"), 0U);
  EXPECT_EQ(text_of([] { throw std::runtime_error("two\nlines"); }), "internal error: two; this is a bug");
}

}  // namespace
}  // namespace hici::commands
