// SPDX-License-Identifier: Apache-2.0
// The two steps before weights are read, for build_model() and for what works tensor by tensor: open the files of a
// request, and describe the model that they make. Between them the caller settles the HiCI settings.
#pragma once

#include "hici/io/adapter.h"
#include "hici/io/folded_weights.h"
#include "hici/io/load_model.h"
#include "hici/io/model_directory.h"

#include <map>
#include <optional>
#include <string>

namespace hici::io {

// The files of one request, opened; base and adapter agree.
struct OpenedModel {
  ModelDirectory base;
  std::optional<Adapter> adapter;
  std::shared_ptr<const FoldedSource> folded = {};  // weights that the adapter changes before any layer runs; or null
  std::optional<config::AdapterSettings> base_settings;  // hici_config.json of a model directory with HiCI modules
  StoredHici hici;
  std::filesystem::path hici_file = {};                 // the hici_config.json that says it when it is complete
  std::map<std::string, std::string> base_config = {};  // config::deciding_values() of the base's own file

  const std::optional<config::AdapterSettings>& settings() const { return adapter ? adapter->settings : base_settings; }
  // Where a parameter's values come from; null when no file has it.
  const TensorSource* source_of(const std::string& name) const;

  // The HiCI settings that the files say, or the default ones.
  config::HiciConfig stored_hici() const;

  // When all is read: what is not as a manifest says is an error.
  void finish_checks() const;
  // Of the base, by what was read of it until now; see LoadedModel::identity.
  ModelIdentity identity() const;
  // See LoadedModel::weights_hash.
  std::string weights_hash() const;
  // A line when the adapter was made on another base, or on one with another config.json; and when it was made with
  // another tokenizer. How they differ; empty for nothing or not known.
  std::string warn_of_other_base() const;
  std::string warn_of_other_tokenizer() const;
};

OpenedModel open_model(const ModelRequest& request);

// The model with all its modules on the meta device. Every tensor of the base is there with its shape, and no other; so
// are the adapter's factors. `hici` are the settings to use.
LoadedModel describe_model(const ModelRequest& request, const OpenedModel& opened, const config::HiciConfig& hici);

// A tensor of `source` that must have the shape of `meta`.
at::Tensor read_parameter(const TensorSource& source, const std::string& name, const at::Tensor& meta,
                          at::ScalarType dtype, at::Device device);

}  // namespace hici::io
