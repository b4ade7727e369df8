# SPDX-License-Identifier: Apache-2.0
# Warnings, sanitizers and the compiler cache, as interface targets that every target of the project links.
add_library(hici_warnings INTERFACE)
target_compile_options(hici_warnings INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-Wall -Wextra -Wshadow -Wconversion -Wnon-virtual-dtor>
  $<$<AND:$<COMPILE_LANGUAGE:CXX>,$<BOOL:${HICI_WERROR}>>:-Werror>)

add_library(hici_sanitizers INTERFACE)
if(HICI_ASAN)
  target_compile_options(hici_sanitizers INTERFACE $<$<COMPILE_LANGUAGE:CXX>:-fsanitize=address,undefined -fno-omit-frame-pointer -fno-sanitize-recover=undefined>)
  target_link_options(hici_sanitizers INTERFACE -fsanitize=address,undefined)
endif()

find_program(HICI_CCACHE ccache)
if(HICI_CCACHE)
  # The sloppiness is what ccache documents for precompiled headers.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime ${HICI_CCACHE})
  add_compile_options($<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CXX_COMPILER_ID:GNU>>:-fpch-preprocess>)
endif()
