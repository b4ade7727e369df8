# SPDX-License-Identifier: Apache-2.0
# Warnings, sanitizers and the compiler cache, as interface targets that every target of the project links.
add_library(hici_warnings INTERFACE)
# Of several sources as one, names of one are "shadowed" by the locals of another.
set(hici_shadow "-Wshadow$<$<AND:$<BOOL:${HICI_UNITY}>,$<CXX_COMPILER_ID:GNU>>:=local>")
target_compile_options(hici_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wconversion -Wnon-virtual-dtor ${hici_shadow}>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${HICI_WERROR}>>:-Werror>)

add_library(hici_sanitizers INTERFACE)
if(HICI_FUZZ AND NOT HICI_ASAN)
  message(FATAL_ERROR "HICI_FUZZ needs HICI_ASAN=ON; use the preset asan-ubsan")
endif()
if(HICI_ASAN)
  # Without vptr and clang's function: both need type data that the wheel does not export; with g++ vptr also doubles the
  # compile time of LibTorch's headers.
  set(hici_sanitize -fsanitize=address,undefined -fno-sanitize=vptr$<$<CXX_COMPILER_ID:Clang>:,function>)
  target_compile_options(hici_sanitizers INTERFACE
    $<$<COMPILE_LANGUAGE:CXX>:${hici_sanitize};-fno-omit-frame-pointer;-fno-sanitize-recover=undefined>)
  if(HICI_FUZZ)
    if(NOT CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
      message(FATAL_ERROR "HICI_FUZZ needs clang, which brings libFuzzer; use the preset asan-ubsan, or -DCMAKE_CXX_COMPILER=clang++")
    endif()
    target_compile_options(hici_sanitizers INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=fuzzer-no-link>)
  endif()
  target_link_options(hici_sanitizers INTERFACE ${hici_sanitize})
  add_library(hici_sanitizer_options OBJECT "${CMAKE_CURRENT_LIST_DIR}/sanitizer_options.cpp")
  target_sources(hici_sanitizers INTERFACE $<TARGET_OBJECTS:hici_sanitizer_options>)
endif()

find_program(HICI_CCACHE ccache)
if(HICI_CCACHE)
  # The sloppiness is what ccache documents for precompiled headers.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${HICI_CCACHE})
  add_compile_options($<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-fpch-preprocess>)
endif()
