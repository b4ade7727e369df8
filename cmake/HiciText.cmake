# SPDX-License-Identifier: Apache-2.0
# The Rust crate rust/hici_text as the imported target hici_text. Sets HICI_TEXT_ENABLED and HICI_TEXT_SUMMARY.
# Without cargo, or with HICI_TEXT=OFF, the library is built without it and says so when a tokenizer is asked for.
#   HICI_CARGO_TARGET_DIR   where cargo builds; give several build directories the same one to compile the crate once
set(HICI_TEXT_ENABLED OFF)
set(HICI_TEXT_SUMMARY "off")
if(HICI_TEXT)
  find_program(HICI_CARGO cargo HINTS "$ENV{CARGO_HOME}/bin" "$ENV{HOME}/.cargo/bin")
  if(HICI_CARGO)
    set(HICI_TEXT_ENABLED ON)
  else()
    set(HICI_TEXT_SUMMARY "off (no cargo found)")
    message(WARNING "text: no cargo in PATH or ~/.cargo/bin, building without tokenizers; run scripts/setup, or set HICI_TEXT=OFF to choose this")
  endif()
endif()
if(HICI_TEXT_ENABLED)
  set(HICI_CARGO_TARGET_DIR "${CMAKE_BINARY_DIR}/cargo" CACHE PATH "Folder that cargo builds in")
  set(hici_text_dir "${CMAKE_SOURCE_DIR}/rust/hici_text")
  set(hici_text_archive "${HICI_CARGO_TARGET_DIR}/release/libhici_text.a")
  file(STRINGS "${hici_text_dir}/Cargo.toml" hici_tokenizers_line REGEX "^tokenizers = ")
  string(REGEX REPLACE ".*\"=([0-9.]+)\".*" "\\1" hici_tokenizers_version "${hici_tokenizers_line}")
  set(HICI_TEXT_SUMMARY "tokenizers ${hici_tokenizers_version}")

  # cargo itself knows what is out of date; the list below is when to ask it. Frozen: scripts/setup has fetched the crates.
  add_custom_command(OUTPUT "${hici_text_archive}"
    COMMAND ${CMAKE_COMMAND} -E env "CARGO_TARGET_DIR=${HICI_CARGO_TARGET_DIR}"
            ${HICI_CARGO} build --release --frozen --quiet --manifest-path "${hici_text_dir}/Cargo.toml"
    COMMAND ${CMAKE_COMMAND} -E touch "${hici_text_archive}"
    DEPENDS "${hici_text_dir}/Cargo.toml" "${hici_text_dir}/Cargo.lock" "${hici_text_dir}/src/lib.rs" "${hici_text_dir}/src/ffi.rs"
            "${hici_text_dir}/src/answers.rs" "${hici_text_dir}/src/bounds.rs" "${hici_text_dir}/src/chat_template.rs" "${hici_text_dir}/src/chinese.rs"
            "${hici_text_dir}/src/decode.rs" "${hici_text_dir}/src/http.rs" "${hici_text_dir}/src/kept.rs" "${hici_text_dir}/src/long_text.rs"
            "${hici_text_dir}/src/python_json.rs" "${hici_text_dir}/src/tokenizer.rs" "${hici_text_dir}/src/tokenizer_parts.rs"
            "${hici_text_dir}/src/train.rs"
    COMMENT "Building the Rust crate hici_text"
    VERBATIM)
  add_custom_target(hici_text_crate DEPENDS "${hici_text_archive}")
  add_library(hici_text STATIC IMPORTED GLOBAL)
  set_target_properties(hici_text PROPERTIES IMPORTED_LOCATION "${hici_text_archive}"
    INTERFACE_INCLUDE_DIRECTORIES "${hici_text_dir}/include")
  find_package(Threads REQUIRED)
  target_link_libraries(hici_text INTERFACE Threads::Threads ${CMAKE_DL_LIBS} m)
  add_dependencies(hici_text hici_text_crate)
endif()
