# SPDX-License-Identifier: Apache-2.0
# libarrow and libparquet out of the pinned pyarrow wheel, to read Arrow data sets. Linked like LibTorch: it adds milliseconds to the
# start of the program and shares no symbol with LibTorch. Without the wheel, or with HICI_ARROW=OFF, the program is built
# without it and says so when it is given such a data set.
#   hici_arrow           headers, libarrow and libparquet
#   HICI_ARROW_DIR       the wheel's pyarrow folder (cache entry; found in HICI_VENV, else through python3)
#   HICI_ARROW_ENABLED   whether data/arrow/source.cpp and the like are built
#   HICI_ARROW_SUMMARY   one line for the configure summary and `hici --version`
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

# The wheel has no plain libarrow.so; the number in the name is the one that its headers were made for.
set(hici_arrow_config "${HICI_ARROW_DIR}/include/arrow/util/config.h")
if(EXISTS "${hici_arrow_config}")
  file(STRINGS "${hici_arrow_config}" hici_arrow_lines REGEX "^#define ARROW_(SO_VERSION|VERSION_STRING) ")
  string(REGEX REPLACE ".*ARROW_SO_VERSION \"([0-9]+)\".*" "\\1" hici_arrow_so_version "${hici_arrow_lines}")
  string(REGEX REPLACE ".*ARROW_VERSION_STRING \"([^\"]+)\".*" "\\1" HICI_ARROW_VERSION "${hici_arrow_lines}")
  set(hici_arrow_library "${HICI_ARROW_DIR}/libarrow.so.${hici_arrow_so_version}")
  set(hici_parquet_library "${HICI_ARROW_DIR}/libparquet.so.${hici_arrow_so_version}")
endif()

if(NOT HICI_ARROW)
  set(HICI_ARROW_SUMMARY "off (HICI_ARROW=OFF)")
elseif(NOT HICI_ARROW_DIR)
  set(HICI_ARROW_SUMMARY "off (no pyarrow wheel found)")
elseif(NOT EXISTS "${hici_arrow_library}" OR NOT EXISTS "${hici_parquet_library}")
  set(HICI_ARROW_SUMMARY "off (no libarrow and libparquet with their headers in ${HICI_ARROW_DIR})")
else()
  set(HICI_ARROW_ENABLED ON)
  set(HICI_ARROW_SUMMARY "${HICI_ARROW_VERSION}")
  if(NOT HICI_ARROW_VERSION VERSION_EQUAL "26.0.1")
    message(WARNING "pyarrow ${HICI_ARROW_VERSION} is not the pinned 26.0.1")
  endif()
  add_library(hici_arrow INTERFACE)
  target_include_directories(hici_arrow SYSTEM INTERFACE "${HICI_ARROW_DIR}/include")
  target_link_libraries(hici_arrow INTERFACE "${hici_parquet_library}" "${hici_arrow_library}")
  target_link_options(hici_arrow INTERFACE "-Wl,-rpath,${HICI_ARROW_DIR}" "-Wl,--disable-new-dtags" "-Wl,--as-needed")
endif()
