# SPDX-License-Identifier: Apache-2.0
# LibTorch out of the pinned torch wheel, without Caffe2's scripts and without a GPU or a CUDA toolkit.
#   hici_torch       headers, libc10 and libtorch_cpu; all that the main binary links
#   hici_torch_cuda  libc10_cuda and libtorch_cuda in addition; linked by the CUDA plug-in only
#   HICI_TORCH_DIR   the wheel's torch folder (cache entry; found in HICI_VENV, else through python3)
set(HICI_TORCH_DIR "" CACHE PATH "Folder of an installed torch wheel (the one that holds lib/libtorch_cpu.so)")
if(NOT HICI_TORCH_DIR)
  file(GLOB hici_torch_candidates "${HICI_VENV}/lib/python3*/site-packages/torch")
  if(NOT hici_torch_candidates)
    execute_process(COMMAND python3 -c "import importlib.util as u; print(u.find_spec('torch').submodule_search_locations[0])"
                    OUTPUT_VARIABLE hici_torch_candidates OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
  if(hici_torch_candidates)
    list(GET hici_torch_candidates 0 hici_torch_found)
    set(HICI_TORCH_DIR "${hici_torch_found}" CACHE PATH "" FORCE)
  endif()
endif()
if(NOT EXISTS "${HICI_TORCH_DIR}/lib/libtorch_cpu.so")
  message(FATAL_ERROR "torch: no wheel in ${HICI_VENV} and none that python3 knows; run scripts/setup, or set HICI_TORCH_DIR")
endif()
file(STRINGS "${HICI_TORCH_DIR}/version.py" hici_torch_version_line REGEX "^__version__")
string(REGEX REPLACE ".*'([^']+)'.*" "\\1" HICI_TORCH_VERSION "${hici_torch_version_line}")
if(NOT HICI_TORCH_VERSION MATCHES "^2\\.(11|15)\\.0")
  message(WARNING "torch ${HICI_TORCH_VERSION} is neither 2.11.0 nor 2.15.0, with which hici is tested; private operators may differ")
endif()

add_library(hici_torch INTERFACE)
target_include_directories(hici_torch SYSTEM INTERFACE "${HICI_TORCH_DIR}/include" "${HICI_TORCH_DIR}/include/torch/csrc/api/include")
target_link_libraries(hici_torch INTERFACE "${HICI_TORCH_DIR}/lib/libtorch_cpu.so" "${HICI_TORCH_DIR}/lib/libc10.so")
# DT_RPATH, not DT_RUNPATH: the wheel's libraries find each other and the NVIDIA wheels through it.
target_link_options(hici_torch INTERFACE "-Wl,-rpath,${HICI_TORCH_DIR}/lib" "-Wl,--disable-new-dtags" "-Wl,--as-needed"
  "-Wl,-rpath-link,${HICI_TORCH_DIR}/../nvidia/cu13/lib")

add_library(hici_torch_cuda INTERFACE)
# Needed although no symbol of it may be: loading libtorch_cuda is what gives LibTorch its CUDA kernels.
target_link_libraries(hici_torch_cuda INTERFACE "-Wl,--no-as-needed,${HICI_TORCH_DIR}/lib/libtorch_cuda.so,--as-needed"
  "${HICI_TORCH_DIR}/lib/libc10_cuda.so" hici_torch)
