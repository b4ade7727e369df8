# SPDX-License-Identifier: Apache-2.0
# What `cmake --install` puts where: the program with its data, completions and manual page, libhici.a with its headers, and a
# package for find_package(hici).
# The program's parts lie together in lib/hici, because they look for each other beside themselves; bin/hici is a link.
# LibTorch and Arrow stay in their wheels: the paths of this build are kept.
#
# `cmake --install BUILD --component package` installs the program alone, in a form that may be moved: into a tarball for a virtual
# environment, or a wheel (scripts/make_wheel). No path of this machine is in it; bin/hici finds torch by its own place.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(hici_program_dir "${CMAKE_INSTALL_LIBDIR}/hici")
set(hici_package_dir "${CMAKE_INSTALL_LIBDIR}/cmake/hici")

install(TARGETS hici_app hici_main RUNTIME DESTINATION "${hici_program_dir}")
if(HICI_CUDA_ENABLED)
  install(TARGETS hici_cuda LIBRARY DESTINATION "${hici_program_dir}")
endif()
get_property(hici_arrow_plugins GLOBAL PROPERTY HICI_ARROW_PLUGINS)
if(hici_arrow_plugins)
  install(TARGETS ${hici_arrow_plugins} LIBRARY DESTINATION "${hici_program_dir}")
endif()
install(CODE "
  file(MAKE_DIRECTORY \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
  file(CREATE_LINK \"../${hici_program_dir}/hici\" \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/hici\" SYMBOLIC)")

# What the program reads, which it finds from its own folder (src/hici/base/installed_data.h); recipes for --config; and what it wrote
# about itself.
install(DIRECTORY "${CMAKE_SOURCE_DIR}/share/hici" DESTINATION share)
install(DIRECTORY "${CMAKE_SOURCE_DIR}/configs" DESTINATION share/hici)
install(DIRECTORY "${CMAKE_SOURCE_DIR}/configs" DESTINATION share/hici COMPONENT package EXCLUDE_FROM_ALL)
install(DIRECTORY "${CMAKE_BINARY_DIR}/apps/hici/share/" DESTINATION share)
install(DIRECTORY "${CMAKE_SOURCE_DIR}/share/hici" DESTINATION share COMPONENT package EXCLUDE_FROM_ALL)
install(DIRECTORY "${CMAKE_BINARY_DIR}/apps/hici/share/" DESTINATION share COMPONENT package EXCLUDE_FROM_ALL)

# A component of its own, which a plain install leaves out.
set(hici_packaged hici_app hici_main ${hici_arrow_plugins})
if(HICI_CUDA_ENABLED)
  list(APPEND hici_packaged hici_cuda)
endif()
string(REGEX MATCH "^[0-9]+\\.[0-9]+" hici_torch_release "${HICI_TORCH_VERSION}")
file(WRITE "${CMAKE_BINARY_DIR}/needs-torch" "${hici_torch_release}\n")
install(FILES "${CMAKE_BINARY_DIR}/needs-torch" DESTINATION "${hici_program_dir}" COMPONENT package EXCLUDE_FROM_ALL)
foreach(target IN LISTS hici_packaged)
  install(PROGRAMS "$<TARGET_FILE:${target}>" DESTINATION "${hici_program_dir}" COMPONENT package EXCLUDE_FROM_ALL)
  install(CODE "
    set(file \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${hici_program_dir}/$<TARGET_FILE_NAME:${target}>\")
    file(RPATH_REMOVE FILE \"\${file}\")
    execute_process(COMMAND \"${CMAKE_STRIP}\" --strip-unneeded \"\${file}\" COMMAND_ERROR_IS_FATAL ANY)" COMPONENT package EXCLUDE_FROM_ALL)
endforeach()
install(CODE "
  file(MAKE_DIRECTORY \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}\")
  file(CREATE_LINK \"../${hici_program_dir}/hici\" \"\$ENV{DESTDIR}\${CMAKE_INSTALL_PREFIX}/${CMAKE_INSTALL_BINDIR}/hici\" SYMBOLIC)" COMPONENT package EXCLUDE_FROM_ALL)

install(TARGETS hici ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(DIRECTORY "${CMAKE_SOURCE_DIR}/src/hici" DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" FILES_MATCHING PATTERN "*.h" PATTERN "pch.h" EXCLUDE)
set(hici_text_library "")
if(HICI_TEXT_ENABLED)
  install(FILES "${hici_text_archive}" DESTINATION "${CMAKE_INSTALL_LIBDIR}")
  get_filename_component(hici_text_library "${hici_text_archive}" NAME)
endif()
configure_package_config_file(cmake/hiciConfig.cmake.in "${CMAKE_BINARY_DIR}/hiciConfig.cmake"
  INSTALL_DESTINATION "${hici_package_dir}" PATH_VARS CMAKE_INSTALL_LIBDIR CMAKE_INSTALL_INCLUDEDIR)
write_basic_package_version_file("${CMAKE_BINARY_DIR}/hiciConfigVersion.cmake" COMPATIBILITY ExactVersion)
install(FILES "${CMAKE_BINARY_DIR}/hiciConfig.cmake" "${CMAKE_BINARY_DIR}/hiciConfigVersion.cmake" cmake/HiciTorch.cmake
  DESTINATION "${hici_package_dir}")
