// SPDX-License-Identifier: Apache-2.0
// What a file without a description shows of itself, where token ids are expected: ids have no header, and two letters
// of a text are an id of most vocabularies.
#pragma once

#include "hici/base/file.h"
#include "hici/data/token_sidecar.h"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>

namespace hici::data {

// Why a file holds no token ids of uint16 or uint32, and what to do about it.
struct FileLook {
  std::string what;     // "is text", for a message behind the file's name
  std::string way_out;  // with the command that makes a token file of it
};

// By the first bytes (Parquet, Arrow, archives, compressed data, arrays, weights, documents), by the share of bytes
// that are writing, and by 64-bit ids, which have two or three zero words behind each other. Nothing: these may be ids.
// A file of less than 16 bytes has no look. `vocab_size` 0: not known.
//
// Ids of any tokenizer are far from looking like text: an id below 8192, as the frequent ones are, has a byte that no
// writing has.
std::optional<FileLook> look_of_no_tokens(const MappedFile& file, int64_t vocab_size);

// Whether the beginning, middle and end of the file are writing: UTF-8 without control characters, or nine tenths of
// printable ASCII and no NUL. False for a file that is not there, and for less than 16 bytes.
bool looks_like_text(const std::filesystem::path& path);

// Whether every second word is zero or nearly so, as of uint32 ids that are read as uint16.
bool looks_wider_than_uint16(const MappedFile& file);

// Whether the ids, read as uint16, are spread as ids are: their high bytes less evenly than their low ones.
bool looks_like_uint16(const MappedFile& file);

}  // namespace hici::data
