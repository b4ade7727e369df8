// SPDX-License-Identifier: Apache-2.0
// The files around a tokenizer in a Hugging Face directory; nothing here needs the Rust crate.
#pragma once

#include <cstddef>
#include <filesystem>
#include <optional>
#include <string>

namespace hici::text {

// Far above any real one (Gemma's has 33 MB).
constexpr size_t kMaxTokenizerBytes = size_t{512} << 20;

// tokenizer.json of a folder, or the file itself. Throws when it is not there, naming what is (a tokenizer.model).
std::filesystem::path find_tokenizer_json(const std::filesystem::path& folder_or_file);

struct NamedTokens {
  std::optional<std::string> bos;
  std::optional<std::string> eos;
};

// The tokenizer_config.json with which transformers loads a byte-level BPE that we trained.
std::string tokenizer_config_json(const NamedTokens& named, const std::optional<std::string>& pad);

}  // namespace hici::text
