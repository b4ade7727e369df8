# SPDX-License-Identifier: Apache-2.0
# Finds an nvcc (the system's, else the one in the nvidia-cuda-nvcc wheel beside torch) and enables the CUDA language
# with it; neither a GPU nor a driver is needed. The CUDA side is one shared library, libhici_cuda.so, that the program
# loads when a command needs a GPU (src/hici/device/cuda_plugin.h); folders add their sources with
# target_sources(hici_cuda ...) under if(HICI_CUDA_ENABLED).
#   HICI_CUDA_ENABLED   whether libhici_cuda.so is built
#   HICI_CUDA_SUMMARY   one line for the configure summary and `hici --version`
set(HICI_CUDA_ENABLED OFF)

# The CUDA release that torch's libraries were built for, e.g. "13.0"; empty for the CPU build of torch.
file(STRINGS "${HICI_TORCH_DIR}/version.py" hici_torch_cuda_line REGEX "^cuda[ :]")
string(REGEX MATCH "[0-9]+\\.[0-9]+" HICI_TORCH_CUDA_VERSION "${hici_torch_cuda_line}")

# Sets `out` to the path of an nvcc on this system of the same major release as torch's CUDA (two CUDA runtimes in one
# process do not mix), or to "".
function(hici_find_system_nvcc out)
  set(${out} "" PARENT_SCOPE)
  find_program(HICI_SYSTEM_NVCC nvcc HINTS "$ENV{CUDA_HOME}/bin" "$ENV{CUDA_PATH}/bin" PATHS /usr/local/cuda/bin)
  mark_as_advanced(HICI_SYSTEM_NVCC)
  if(NOT HICI_SYSTEM_NVCC)
    return()
  endif()
  execute_process(COMMAND "${HICI_SYSTEM_NVCC}" --version OUTPUT_VARIABLE version ERROR_QUIET)
  string(REGEX MATCH "release ([0-9]+)\\." matched "${version}")
  set(major "${CMAKE_MATCH_1}")
  if(HICI_TORCH_CUDA_VERSION MATCHES "^${major}\\." AND major)
    set(${out} "${HICI_SYSTEM_NVCC}" PARENT_SCOPE)
  else()
    message(STATUS "${HICI_SYSTEM_NVCC}: release '${major}' passed over, torch has CUDA ${HICI_TORCH_CUDA_VERSION}")
  endif()
endfunction()

# Sets `out` to an nvcc over the compiler wheels, or to "". The wheels lay their files out almost as a toolkit does, but
# for lib64 and the unversioned libcudart.so. nvcc takes the folder that it is started from for the toolkit's, so a
# tree of links in the build directory is all it needs.
function(hici_link_wheel_nvcc out)
  set(${out} "" PARENT_SCOPE)
  get_filename_component(wheels "${HICI_TORCH_DIR}/../nvidia/cu13" REALPATH)
  file(GLOB cudart "${wheels}/lib/libcudart.so.*")
  if(NOT EXISTS "${wheels}/bin/nvcc" OR NOT EXISTS "${wheels}/nvvm/bin/cicc" OR NOT EXISTS "${wheels}/include/crt" OR NOT cudart)
    return()
  endif()
  set(toolkit "${CMAKE_BINARY_DIR}/cuda-toolkit")
  file(MAKE_DIRECTORY "${toolkit}/bin" "${toolkit}/lib64")
  file(GLOB tools "${wheels}/bin/*")
  file(GLOB libraries "${wheels}/lib/*")
  foreach(file IN LISTS tools)
    get_filename_component(name "${file}" NAME)
    file(CREATE_LINK "${file}" "${toolkit}/bin/${name}" SYMBOLIC)
  endforeach()
  foreach(file IN LISTS libraries)
    get_filename_component(name "${file}" NAME)
    file(CREATE_LINK "${file}" "${toolkit}/lib64/${name}" SYMBOLIC)
  endforeach()
  list(GET cudart 0 cudart)
  file(CREATE_LINK "${cudart}" "${toolkit}/lib64/libcudart.so" SYMBOLIC)
  file(CREATE_LINK "${toolkit}/lib64" "${toolkit}/lib" SYMBOLIC)  # where nvcc looks since CUDA 13.2
  file(CREATE_LINK "${wheels}/include" "${toolkit}/include" SYMBOLIC)
  file(CREATE_LINK "${wheels}/nvvm" "${toolkit}/nvvm" SYMBOLIC)
  set(${out} "${toolkit}/bin/nvcc" PARENT_SCOPE)
endfunction()

if(NOT HICI_CUDA)
  set(HICI_CUDA_SUMMARY "off (HICI_CUDA=OFF)")
elseif(NOT HICI_TORCH_CUDA_VERSION)
  set(HICI_CUDA_SUMMARY "off (torch is its CPU build)")
else()
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    hici_find_system_nvcc(hici_nvcc)
    if(NOT hici_nvcc)
      hici_link_wheel_nvcc(hici_nvcc)
    endif()
    if(hici_nvcc)
      set(CMAKE_CUDA_COMPILER "${hici_nvcc}" CACHE FILEPATH "CUDA compiler")
    endif()
  endif()
  if(CMAKE_CUDA_COMPILER OR DEFINED ENV{CUDACXX})
    set(HICI_CUDA_ENABLED ON)
  else()
    set(HICI_CUDA_SUMMARY "off (no nvcc found)")
  endif()
endif()

if(HICI_CUDA_ENABLED)
  # Ampere and Hopper; PTX of the last goes along, so that newer GPUs run it too.
  set(CMAKE_CUDA_ARCHITECTURES "80;90" CACHE STRING "GPU architectures to compile for")
  set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)  # the one runtime that libtorch_cuda brings
  enable_language(CUDA)
  if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")  # CMake 3.25 does not know that nvcc has it
  endif()
  if(HICI_CCACHE)
    set(CMAKE_CUDA_COMPILER_LAUNCHER ${HICI_CCACHE})
  endif()

  add_library(hici_cuda SHARED)
  target_include_directories(hici_cuda PRIVATE "${CMAKE_SOURCE_DIR}/src")
  # nvcc finds them by itself, the C++ compiler does not.
  target_include_directories(hici_cuda SYSTEM PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})
  target_link_libraries(hici_cuda PRIVATE hici_torch_cuda hici_warnings)
  target_link_options(hici_cuda PRIVATE "-Wl,-z,defs")  # a symbol left open would only show on loading
  target_compile_options(hici_cuda PRIVATE
    $<$<COMPILE_LANGUAGE:CUDA>:--expt-relaxed-constexpr;-Xcompiler=-Wall,-Wextra>
    $<$<AND:$<COMPILE_LANGUAGE:CUDA>,$<BOOL:${HICI_WERROR}>>:-Werror=all-warnings;-Xcompiler=-Werror>)

  # cuBLAS and cuDNN lie beside torch, which loads them too; cuDNN's frontend is headers alone, out of a wheel of its own.
  get_filename_component(hici_wheels "${HICI_TORCH_DIR}/.." ABSOLUTE)
  find_library(HICI_CUBLAS NAMES libcublas.so.13 HINTS "${hici_wheels}/nvidia/cu13/lib")
  find_library(HICI_CUBLASLT NAMES libcublasLt.so.13 HINTS "${hici_wheels}/nvidia/cu13/lib")
  mark_as_advanced(HICI_CUBLAS HICI_CUBLASLT)
  target_link_libraries(hici_cuda PRIVATE "${HICI_CUBLAS}" "${HICI_CUBLASLT}")
  find_path(HICI_CUDNN_FRONTEND_INCLUDE cudnn_frontend.h HINTS "${hici_wheels}/include")
  mark_as_advanced(HICI_CUDNN_FRONTEND_INCLUDE)
  set(HICI_CUDNN_ENABLED OFF)
  if(HICI_CUDNN_FRONTEND_INCLUDE AND EXISTS "${hici_wheels}/nvidia/cudnn/include/cudnn.h")
    set(HICI_CUDNN_ENABLED ON)
    target_include_directories(hici_cuda SYSTEM PRIVATE "${HICI_CUDNN_FRONTEND_INCLUDE}" "${hici_wheels}/nvidia/cudnn/include")
    target_link_libraries(hici_cuda PRIVATE "${hici_wheels}/nvidia/cudnn/lib/libcudnn.so.9")
    target_compile_definitions(hici_cuda PRIVATE HICI_HAS_CUDNN)
  endif()

  # Kernels with Hopper's own instructions (wgmma), which only code for sm_90a has.
  set(HICI_HOPPER_ENABLED OFF)
  if("${CMAKE_CUDA_ARCHITECTURES}" MATCHES "(^|;)90")  # also 90a and 90-real
    set(HICI_HOPPER_ENABLED ON)
    add_library(hici_cuda_hopper OBJECT)
    set_target_properties(hici_cuda_hopper PROPERTIES CUDA_ARCHITECTURES OFF POSITION_INDEPENDENT_CODE ON)
    target_include_directories(hici_cuda_hopper PRIVATE "${CMAKE_SOURCE_DIR}/src")
    target_compile_options(hici_cuda_hopper PRIVATE
      --expt-relaxed-constexpr -Xcompiler=-Wall,-Wextra -gencode=arch=compute_90a,code=sm_90a
      $<$<BOOL:${HICI_WERROR}>:-Werror=all-warnings;-Xcompiler=-Werror>)
    target_link_libraries(hici_cuda PRIVATE hici_cuda_hopper)
    target_compile_definitions(hici_cuda PRIVATE HICI_HAS_HOPPER)
  endif()

  # libtorch_cuda has c10d's NCCL class, and the library itself lies beside torch, which loads it.
  set(HICI_NCCL_ENABLED OFF)
  if(EXISTS "${hici_wheels}/nvidia/nccl/include/nccl.h")
    set(HICI_NCCL_ENABLED ON)
    target_include_directories(hici_cuda SYSTEM PRIVATE "${hici_wheels}/nvidia/nccl/include")
    target_compile_definitions(hici_cuda PRIVATE HICI_HAS_NCCL)
  endif()

  string(REPLACE ";" ", sm_" hici_cuda_names "sm_${CMAKE_CUDA_ARCHITECTURES}")
  target_compile_definitions(hici_cuda PRIVATE HICI_CUDA_ARCHITECTURES="${hici_cuda_names}")
  set(HICI_CUDA_SUMMARY "${CMAKE_CUDA_COMPILER_VERSION} for ${hici_cuda_names}")
  if(NOT HICI_CUDNN_ENABLED)
    string(APPEND HICI_CUDA_SUMMARY " without cuDNN attention")
  endif()
  if(NOT HICI_HOPPER_ENABLED)
    string(APPEND HICI_CUDA_SUMMARY " without attention for Hopper")
  endif()
  if(NOT HICI_NCCL_ENABLED)
    string(APPEND HICI_CUDA_SUMMARY " without NCCL")
  endif()
endif()
