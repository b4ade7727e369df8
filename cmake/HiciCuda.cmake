# SPDX-License-Identifier: Apache-2.0
# Finds an nvcc (the system's, else the one in the nvidia-cuda-nvcc wheel) and enables the CUDA language with it.
# Sets HICI_CUDA_ENABLED and HICI_CUDA_SUMMARY. No GPU is needed.
set(HICI_CUDA_ENABLED OFF)
set(HICI_CUDA_SUMMARY "off")
