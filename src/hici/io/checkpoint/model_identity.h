// SPDX-License-Identifier: Apache-2.0
// What an adapter or a training run was made on: the contents of the base's tensors, what its config.json decides, and
// its tokenizer, so that another base of the same shapes, the same weights under other numbers and other token ids are
// noticed. hici_identity.json beside hici_config.json.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hici::io {

constexpr const char* kIdentityName = "hici_identity.json";

// Name -> TensorSource::content_of(), of the tensors that were read: those that an adapter replaces are not.
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
// Nothing when the folder does not say.
std::optional<ModelIdentity> read_identity(const std::filesystem::path& folder);

struct ConfigDifference {
  std::string name;
  std::string before;
  std::string now;
};
// Over the names that both sides know.
std::vector<ConfigDifference> config_differences(const std::map<std::string, std::string>& before,
                                                 const std::map<std::string, std::string>& now);
// "rms_norm_eps was 1e-05 and is 1e-06", joined by commas; empty when none differs.
std::string shown_config_differences(const std::map<std::string, std::string>& before,
                                     const std::map<std::string, std::string>& now);

// "3 of 12 tensors differ, 'model.norm.weight' first", over the tensors that both sides know; empty when none differs.
std::string difference_of(const TensorContents& one, const TensorContents& other);

// `now`, and of the tensors that it does not have what `before` knows of them.
TensorContents joined_contents(TensorContents now, const TensorContents& before);

// "tokenizer.json of SHA-256 0123456789ab..."
std::string shown_tokenizer(const std::string& sha256);
// SHA-256 of the tokenizer.json in a folder; empty when there is none.
std::string tokenizer_sha256_in(const std::filesystem::path& folder);

}  // namespace hici::io
