# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where: the program, libhici.a with its headers, and a package for find_package(hici).
# The program's parts lie together in lib/hici, because they look for each other beside themselves; bin/hici is a link.
# LibTorch and Arrow stay in their wheels: the paths of this build are kept.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(hici_program_dir "${CMAKE_INSTALL_LIBDIR}/hici")
set(hici_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/hici")

install(TARGETS hici_app hici_main RUNTIME DESTINATION "${hici_program_dir}")
if(HICI_CUDA_ENABLED)
  install(TARGETS hici_cuda LIBRARY DESTINATION "${hici_program_dir}")
endif()
install(CODE "
  file(MAKE_DIRECTORY \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
  file(CREATE_LINK \"../${hici_program_dir}/hici\" \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/hici\" SYMBOLIC)")

install(TARGETS hici ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(DIRECTORY "${CMAKE_SOURCE_DIR}/src/hici" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h" PATTERN "pch.h" EXCLUDE)
set(hici_text_library "")
if(HICI_TEXT_ENABLED)
  install(FILES "${hici_text_archive}" DESTINATION "${CMAKE_INSTALL_LIBDIR}")
  get_filename_component(hici_text_library "${hici_text_archive}" NAME)
endif()
set(hici_arrow_file "")
set(hici_parquet_file "")
if(HICI_ARROW_ENABLED)
  set(hici_arrow_file "${hici_arrow_library}")
  set(hici_parquet_file "${hici_parquet_library}")
endif()
configure_package_config_file(cmake/hiciConfig.cmake.in "${CMAKE_BINARY_DIR}/hiciConfig.cmake"
  INSTALL_DESTINATION "${hici_package_dir}" PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file("${CMAKE_BINARY_DIR}/hiciConfigVersion.cmake" COMPATIBILITY ExactVersion)
install(FILES "${CMAKE_BINARY_DIR}/hiciConfig.cmake" "${CMAKE_BINARY_DIR}/hiciConfigVersion.cmake" cmake/HiciTorch.cmake
  DESTINATION "${hici_package_dir}")
