# SPDX-License-Identifier: Apache-2.0
# libarrow and libparquet out of the pinned pyarrow wheel, to read Arrow data sets. The program is not linked to them: a plug-in
# is, libhici_arrow_VERSION.so, which it loads when such a data set is opened (src/hici/data/arrow/plugin.h). libarrow's C++
# interface changes with every release, so there is one plug-in for each. Without the wheel, or with HICI_ARROW=OFF, the program
# has no plug-in and says so when it is given such a data set.
#   hici_arrow               headers, libarrow and libparquet of HICI_ARROW_DIR
#   HICI_ARROW_DIR           the wheel's pyarrow folder (cache entry; found in HICI_VENV, else through python3)
#   HICI_ARROW_MORE_DIRS     folders of other versions, for a plug-in each (what goes into a wheel)
#   HICI_ARROW_ENABLED       whether plug-ins are built
#   HICI_ARROW_SUMMARY       one line for the configure summary and `hici --version`
set(HICI_ARROW_ENABLED OFF)
set(HICI_ARROW_DIR "" CACHE PATH "Folder of an installed pyarrow wheel (the one that holds libarrow.so.*)")
if(HICI_ARROW AND NOT HICI_ARROW_DIR)
  file(GLOB hici_arrow_candidates "${HICI_VENV}/lib/python3*/site-packages/pyarrow")
  if(NOT hici_arrow_candidates)
    execute_process(COMMAND python3 -c "import importlib.util as u; print(u.find_spec('pyarrow').submodule_search_locations[0])"
                    OUTPUT_VARIABLE hici_arrow_candidates OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  endif()
  if(hici_arrow_candidates)
    list(GET hici_arrow_candidates 0 hici_arrow_found)
    set(HICI_ARROW_DIR "${hici_arrow_found}" CACHE PATH "" FORCE)
  endif()
endif()

set(HICI_ARROW_MORE_DIRS "" CACHE STRING "Folders of pyarrow wheels of other versions, for a plug-in each")

# Sets PREFIX_so_version, PREFIX_version, PREFIX_library and PREFIX_parquet for a pyarrow folder; PREFIX_library is empty where the
# folder lacks something. The wheel has no plain libarrow.so; the number in the name is the one that its headers were made for.
function(hici_inspect_pyarrow folder prefix)
  set(${prefix}_library "" PARENT_SCOPE)
  set(config "${folder}/include/arrow/util/config.h")
  if(NOT EXISTS "${config}")
    return()
  endif()
  file(STRINGS "${config}" lines REGEX "^#define ARROW_(SO_VERSION|VERSION_STRING) ")
  string(REGEX REPLACE ".*ARROW_SO_VERSION \"([0-9]+)\".*" "\\1" so_version "${lines}")
  string(REGEX REPLACE ".*ARROW_VERSION_STRING \"([^\"]+)\".*" "\\1" version "${lines}")
  if(NOT EXISTS "${folder}/libarrow.so.${so_version}" OR NOT EXISTS "${folder}/libparquet.so.${so_version}")
    return()
  endif()
  set(${prefix}_so_version "${so_version}" PARENT_SCOPE)
  set(${prefix}_version "${version}" PARENT_SCOPE)
  set(${prefix}_library "${folder}/libarrow.so.${so_version}" PARENT_SCOPE)
  set(${prefix}_parquet "${folder}/libparquet.so.${so_version}" PARENT_SCOPE)
endfunction()

# hici_add_arrow_plugin(FOLDER SOURCE...): the plug-in for the pyarrow in FOLDER, bin/libhici_arrow_VERSION.so; its target's name is
# added to HICI_ARROW_PLUGINS. No run path: the program loads libarrow itself.
function(hici_add_arrow_plugin folder)
  hici_inspect_pyarrow("${folder}" pyarrow)
  if(NOT pyarrow_library)
    message(FATAL_ERROR "${folder}: no libarrow and libparquet with their headers")
  endif()
  set(target "hici_arrow_${pyarrow_so_version}")
  add_library(${target} MODULE ${ARGN})
  set_target_properties(${target} PROPERTIES CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON SKIP_BUILD_RPATH ON SKIP_INSTALL_RPATH ON)
  target_compile_definitions(${target} PRIVATE HICI_VERSION="${PROJECT_VERSION}")
  target_include_directories(${target} PRIVATE "${CMAKE_SOURCE_DIR}/src")
  target_include_directories(${target} SYSTEM PRIVATE "${folder}/include")
  target_link_libraries(${target} PRIVATE "${pyarrow_parquet}" "${pyarrow_library}" nlohmann_json::nlohmann_json hici_warnings hici_sanitizers)
  if(NOT HICI_ASAN)  # whose run time is in the program alone
    target_link_options(${target} PRIVATE "-Wl,-z,defs")
  endif()
  add_dependencies(hici ${target})
  set_property(GLOBAL APPEND PROPERTY HICI_ARROW_PLUGINS ${target})
endfunction()

# The program looks beside its LibTorch; only what lies elsewhere is a path in it.
get_filename_component(hici_arrow_place "${HICI_ARROW_DIR}/.." ABSOLUTE)
get_filename_component(hici_torch_place "${HICI_TORCH_DIR}/.." ABSOLUTE)
set(HICI_ARROW_FOLDER "")
if(HICI_ARROW_DIR AND NOT hici_arrow_place STREQUAL hici_torch_place)
  set(HICI_ARROW_FOLDER "${HICI_ARROW_DIR}")
endif()
hici_inspect_pyarrow("${HICI_ARROW_DIR}" hici_pyarrow)
if(NOT HICI_ARROW)
  set(HICI_ARROW_SUMMARY "off (HICI_ARROW=OFF)")
elseif(NOT HICI_ARROW_DIR)
  set(HICI_ARROW_SUMMARY "off (no pyarrow wheel found)")
elseif(NOT hici_pyarrow_library)
  set(HICI_ARROW_SUMMARY "off (no libarrow and libparquet with their headers in ${HICI_ARROW_DIR})")
else()
  set(HICI_ARROW_ENABLED ON)
  set(HICI_ARROW_SUMMARY "${hici_pyarrow_version}")
  if(NOT hici_pyarrow_version VERSION_EQUAL "26.0.1")
    message(WARNING "pyarrow ${hici_pyarrow_version} is not the pinned 26.0.1")
  endif()
  add_library(hici_arrow INTERFACE)
  target_include_directories(hici_arrow SYSTEM INTERFACE "${HICI_ARROW_DIR}/include")
  target_link_libraries(hici_arrow INTERFACE "${hici_pyarrow_parquet}" "${hici_pyarrow_library}")
  target_link_options(hici_arrow INTERFACE "-Wl,-rpath,${HICI_ARROW_DIR}" "-Wl,--disable-new-dtags" "-Wl,--as-needed")
endif()
