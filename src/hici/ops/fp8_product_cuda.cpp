// SPDX-License-Identifier: Apache-2.0
// FP8 GEMMs with a factor for each row of both operands through cuBLASLt, which can add to a result that is there:
// LibTorch's _scaled_mm cannot, and an addition of its own reads and writes the result once more.
#include "hici/device/kernels_cuda.h"
#include "hici/ops/cuda_tensor.h"

#include <ATen/Context.h>
#include <ATen/cuda/CUDAContext.h>
#include <ATen/ops/empty.h>

#include <cublasLt.h>

#include <map>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>

namespace hici::device::kernels {
namespace {

constexpr size_t kWorkspaceBytes = size_t{32} << 20;
// What cuBLASLt takes for granted when it chooses, and what it needs of matrices and of factors at least.
constexpr uintptr_t kAlignment = 256, kLeastAlignment = 16;

bool is_on(uintptr_t bytes, const at::Tensor& t) {
  return reinterpret_cast<uintptr_t>(t.const_data_ptr()) % bytes == 0;
}

// A row's factor of a later segment may lie anywhere.
at::Tensor on_least_alignment(const at::Tensor& factors) {
  return is_on(kLeastAlignment, factors) ? factors : factors.clone();
}

void check(cublasStatus_t status, const char* what) {
  if (status != CUBLAS_STATUS_SUCCESS)
    throw std::runtime_error(std::string("cuBLASLt, 8-bit product, ") + what + ": " + cublasGetStatusString(status));
}

struct Deleter {
  void operator()(cublasLtMatmulDesc_t p) const { cublasLtMatmulDescDestroy(p); }
  void operator()(cublasLtMatrixLayout_t p) const { cublasLtMatrixLayoutDestroy(p); }
  void operator()(cublasLtMatmulPreference_t p) const { cublasLtMatmulPreferenceDestroy(p); }
};
template <typename Handle>
using Owned = std::unique_ptr<std::remove_pointer_t<Handle>, Deleter>;

Owned<cublasLtMatrixLayout_t> layout(cudaDataType_t type, int64_t rows, int64_t columns, int64_t stride) {
  cublasLtMatrixLayout_t made = nullptr;
  check(cublasLtMatrixLayoutCreate(&made, type, static_cast<uint64_t>(rows), static_cast<uint64_t>(columns), stride),
        "layout");
  return Owned<cublasLtMatrixLayout_t>(made);
}

// cuBLAS counts columns first: the product is out^T [O, n] = matrix [O, I] rows^T [I, n].
struct Shape {
  int64_t rows, outputs, inputs, stride;
  bool accumulates;
  int multiprocessors;  // that the product may use
  bool is_aligned;      // every matrix begins on kAlignment
  int device;
  auto operator<=>(const Shape&) const = default;
};

struct Plan {
  Plan(const Shape& s, const void* row_scale, const void* channel_scale)
      : matrix(layout(CUDA_R_8F_E4M3, s.inputs, s.outputs, s.inputs)),
        rows(layout(CUDA_R_8F_E4M3, s.inputs, s.rows, s.inputs)),
        out(layout(CUDA_R_16BF, s.outputs, s.rows, s.stride)) {
    cublasLtMatmulDesc_t made = nullptr;
    check(cublasLtMatmulDescCreate(&made, CUBLAS_COMPUTE_32F, CUDA_R_32F), "description");
    product.reset(made);
    set(CUBLASLT_MATMUL_DESC_TRANSA, CUBLAS_OP_T);
    set(CUBLASLT_MATMUL_DESC_A_SCALE_MODE, int32_t{CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F});
    set(CUBLASLT_MATMUL_DESC_B_SCALE_MODE, int32_t{CUBLASLT_MATMUL_MATRIX_SCALE_OUTER_VEC_32F});
    set(CUBLASLT_MATMUL_DESC_FAST_ACCUM, int8_t{1});  // as kFastSums of ops/fp8.cpp
    set(CUBLASLT_MATMUL_DESC_SM_COUNT_TARGET, int32_t{s.multiprocessors});
    set_scales(row_scale, channel_scale);  // without them there is no algorithm
    cublasLtMatmulPreference_t preference = nullptr;
    check(cublasLtMatmulPreferenceCreate(&preference), "preference");
    const Owned<cublasLtMatmulPreference_t> owned(preference);
    check(cublasLtMatmulPreferenceSetAttribute(preference, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &kWorkspaceBytes,
                                               sizeof kWorkspaceBytes),
          "preference");
    if (!s.is_aligned) {
      for (const auto attribute :
           {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
            CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES}) {
        constexpr uint32_t kBytes = kLeastAlignment;
        check(cublasLtMatmulPreferenceSetAttribute(preference, attribute, &kBytes, sizeof kBytes), "preference");
      }
    }
    int found = 0;
    check(cublasLtMatmulAlgoGetHeuristic(at::cuda::getCurrentCUDABlasLtHandle(), product.get(), matrix.get(),
                                         rows.get(), out.get(), out.get(), preference, 1, &best, &found),
          "choice of an algorithm");
    if (found == 0) check(CUBLAS_STATUS_NOT_SUPPORTED, "choice of an algorithm");
  }

  template <typename T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    check(cublasLtMatmulDescSetAttribute(product.get(), attribute, &value, sizeof value), "attribute");
  }

  void set_scales(const void* row_scale, const void* channel_scale) {
    set(CUBLASLT_MATMUL_DESC_A_SCALE_POINTER, channel_scale);
    set(CUBLASLT_MATMUL_DESC_B_SCALE_POINTER, row_scale);
  }

  Owned<cublasLtMatmulDesc_t> product;
  Owned<cublasLtMatrixLayout_t> matrix, rows, out;
  cublasLtMatmulHeuristicResult_t best{};
};

}  // namespace

void fp8_product(const at::Tensor& out, const at::Tensor& rows, const at::Tensor& row_scale, const at::Tensor& matrix,
                 const at::Tensor& channel_scale, bool accumulate) {
  static std::mutex mutex;
  static std::map<Shape, Plan> plans;
  const c10::cuda::CUDAGuard guard(out.device());
  const int all = at::cuda::getCurrentDeviceProperties()->multiProcessorCount;
  const Shape shape{rows.size(0),
                    matrix.size(0),
                    rows.size(1),
                    out.stride(0),
                    accumulate,
                    all - at::globalContext()._SMCarveout_EXPERIMENTAL().value_or(0),
                    is_on(kAlignment, out) && is_on(kAlignment, rows) && is_on(kAlignment, matrix),
                    out.get_device()};
  const at::Tensor workspace = at::empty({static_cast<int64_t>(kWorkspaceBytes)}, out.options().dtype(at::kByte));
  const std::lock_guard lock(mutex);
  auto found = plans.find(shape);
  const at::Tensor row_factors = on_least_alignment(row_scale), channel_factors = on_least_alignment(channel_scale);
  const void *of_rows = row_factors.const_data_ptr(), *of_channels = channel_factors.const_data_ptr();
  if (found == plans.end()) found = plans.emplace(shape, Plan(shape, of_rows, of_channels)).first;
  Plan& plan = found->second;
  plan.set_scales(of_rows, of_channels);
  const float alpha = 1, beta = accumulate ? 1 : 0;
  void* to = out.mutable_data_ptr();
  check(cublasLtMatmul(at::cuda::getCurrentCUDABlasLtHandle(), plan.product.get(), &alpha, matrix.const_data_ptr(),
                       plan.matrix.get(), rows.const_data_ptr(), plan.rows.get(), &beta, to, plan.out.get(), to,
                       plan.out.get(), &plan.best.algo, workspace.mutable_data_ptr(), kWorkspaceBytes,
                       ops::cuda::stream_of(out)),
        "launch");
}

}  // namespace hici::device::kernels
