// SPDX-License-Identifier: Apache-2.0
// On a machine without a GPU too: the plug-in is there, loads, and says what is missing.
#include "hici/device/cuda_plugin.h"

#include "hici/base/error.h"
#include "hici/base/version.h"
#include "hici/device/kernel_table.h"

#include <gtest/gtest.h>

namespace hici::device {
namespace {

bool built_with_cuda() { return std::string(kCudaSummary).rfind("off", 0) != 0; }

TEST(CudaPluginTest, LoadsExactlyInBuildsWithCuda) {
  std::string why_not;
  EXPECT_EQ(load_cuda_plugin(&why_not), built_with_cuda()) << why_not;
  EXPECT_EQ(why_not.empty(), built_with_cuda()) << why_not;
  if (built_with_cuda()) {
    EXPECT_NE(cuda_plugin_text().find(" for sm_"), std::string::npos) << cuda_plugin_text();
  } else {
    EXPECT_NE(why_not.find("built without CUDA"), std::string::npos) << why_not;
  }
}

TEST(CudaPluginTest, EitherListsDevicesOrSaysWhyThereIsNone) {
  std::string why_none;
  const std::vector<CudaDevice> devices = cuda_devices(&why_none);
  EXPECT_EQ(devices.empty(), !why_none.empty());
  for (const CudaDevice& device : devices) EXPECT_GT(device.total_bytes, 0U);
}

TEST(CudaPluginTest, MissingDeviceIsOneLineThatNamesTheOption) {
  try {
    require_cuda_device("`device` cuda:4096", 4096);
    FAIL() << "no error";
  } catch (const Error& e) {
    const std::string message = e.what();
    EXPECT_EQ(message.rfind("`device` cuda:4096: ", 0), 0U) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST(CudaPluginTest, AFailedCudaCallNamesExpressionFileAndLine) {
  if (!load_cuda_plugin(nullptr)) GTEST_SKIP() << "built without CUDA";
  try {
    cuda_kernels().device_capability(999);  // no machine has it
    FAIL() << "no error";
  } catch (const std::runtime_error& e) {
    const std::string message = e.what();
    EXPECT_NE(message.find("cudaDeviceGetAttribute(&major"), std::string::npos) << message;
    EXPECT_NE(message.find("device_cuda.cpp:"), std::string::npos) << message;
  }
}

}  // namespace
}  // namespace hici::device
