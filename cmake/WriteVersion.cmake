# SPDX-License-Identifier: Apache-2.0
# Run at build time (cmake -P): writes version.cpp, and touches it only when the revision changed.
execute_process(COMMAND git -C "${SOURCE_DIR}" describe --always --dirty --abbrev=12 OUTPUT_VARIABLE HICI_GIT_REVISION
                OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
if(NOT HICI_GIT_REVISION)
  set(HICI_GIT_REVISION "unknown")
endif()
configure_file("${SOURCE_DIR}/cmake/version.cpp.in" "${OUTPUT}" @ONLY)
