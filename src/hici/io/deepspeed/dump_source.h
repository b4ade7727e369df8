// SPDX-License-Identifier: Apache-2.0
// The tensors of a training checkpoint of DeepSpeed by name; see training_dump.h.
#pragma once

#include "hici/io/deepspeed/dump_folder.h"
#include "hici/io/deepspeed/model_states.h"
#include "hici/io/deepspeed/optimizer_states.h"
#include "hici/io/deepspeed/saved_tensor.h"
#include "hici/io/tensor_source.h"

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <variant>
#include <vector>

namespace hici::io {

class DumpSource final : public TensorSource {
 public:
  explicit DumpSource(const DumpFiles& files);

  using TensorSource::read;
  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  // finish() compares with their checksums the records of which only a part was read.
  at::Tensor read(const std::string& name, at::ScalarType dtype, at::Device device = at::kCPU) const override;
  void read_pieces(const std::string& name, const PieceSink& sink) const override;
  std::string file_of(const std::string& name) const override;
  std::string content_of(const std::string& name) const override;

  const std::set<std::string>& trained() const { return trained_; }
  const std::vector<fs::path>& files() const { return files_; }
  int64_t world_size() const { return world_size_; }
  void finish() const;

 private:
  // Where the elements of a tensor are.
  struct InVector {  // a run of vectors_[vector]
    size_t vector;
    int64_t begin;
  };
  struct OverRanks {  // a share of each rank, in the first world_size_ vectors
    int64_t begin;
  };
  struct OwnFile {  // of a universal checkpoint; closed between reads, for there may be thousands
    fs::path file;
  };
  using Place = std::variant<InVector, OverRanks, SavedTensor, OwnFile>;

  std::shared_ptr<const DumpFile> open(const fs::path& path);
  void add(const ParameterShape& parameter, at::ScalarType dtype, Place place);
  void add_trained(const DumpFiles& files, const ParameterGroups& groups);
  void add_universal(const DumpFiles& files, const ParameterGroups& groups);
  void add_frozen(const std::shared_ptr<const DumpFile>& first, const PickledValue& root);
  void add_shares_of_frozen(const DumpFiles& files, const PickledValue& root, const ParameterGroups& groups);
  void add_shared(const PickledValue& root);
  void add_rest_of_module(const DumpFiles& files, const std::shared_ptr<const DumpFile>& first,
                          const PickledValue& root);
  at::Tensor stored(const std::string& name) const;
  template <typename F>
  void for_each_run(const std::string& name, const F& use) const;
  void prefetch(const std::string& name) const;
  void note_content(const std::string& name, const ContentHash& hash) const;

  fs::path folder_;
  std::vector<FlatVector> vectors_;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, Place> places_;
  std::set<std::string> trained_;
  std::vector<std::shared_ptr<const DumpFile>> open_files_;
  std::vector<fs::path> files_;
  int64_t world_size_ = 0;
  mutable std::map<std::string, std::string> contents_;  // of tensors that were read
};

}  // namespace hici::io
