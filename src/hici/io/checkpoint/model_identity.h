// SPDX-License-Identifier: Apache-2.0
// The identity of the base of an adapter or a training run: contents of its tensors, deciding values of its
// config.json, and its tokenizer. It detects another base of the same shapes, the same weights with another config, and
// other token ids. Stored as hici_identity.json beside hici_config.json.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hici::io {

constexpr const char* kIdentityName = "hici_identity.json";

// Name -> TensorSource::content_of() of the tensors that were read. Tensors that an adapter replaces are not read.
using TensorContents = std::map<std::string, std::string>;

struct ModelIdentity {
  TensorContents base;           // empty: not known
  std::string tokenizer_sha256;  // of tokenizer.json; empty: not known
  // config::deciding_values() of the base; empty: not known, as in files of hici before it was kept.
  std::map<std::string, std::string> config = {};

  bool operator==(const ModelIdentity&) const = default;
};

std::string identity_text(const ModelIdentity& identity);
// Throws hici::Error that names `subject`.
ModelIdentity parse_identity(std::string_view text, const std::string& subject);
void write_identity(const std::filesystem::path& folder, const ModelIdentity& identity);
// nullopt if the folder has no such file.
std::optional<ModelIdentity> read_identity(const std::filesystem::path& folder);

struct ConfigDifference {
  std::string name;
  std::string before;
  std::string now;
};
// Over the names on both sides.
std::vector<ConfigDifference> config_differences(const std::map<std::string, std::string>& before,
                                                 const std::map<std::string, std::string>& now);
// "rms_norm_eps was 1e-05 and is 1e-06", joined by commas; empty without a difference.
std::string shown_config_differences(const std::map<std::string, std::string>& before,
                                     const std::map<std::string, std::string>& now);

// "3 of 12 tensors differ, 'model.norm.weight' first", over the tensors on both sides; empty without a difference.
std::string difference_of(const TensorContents& one, const TensorContents& other);

// `now`, plus the tensors of `before` that `now` lacks.
TensorContents joined_contents(TensorContents now, const TensorContents& before);

// "tokenizer.json of SHA-256 0123456789ab..."
std::string shown_tokenizer(const std::string& sha256);
// SHA-256 of the tokenizer.json in a folder; empty if there is no such file.
std::string tokenizer_sha256_in(const std::filesystem::path& folder);

}  // namespace hici::io
