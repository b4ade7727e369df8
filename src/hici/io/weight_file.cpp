// SPDX-License-Identifier: Apache-2.0
#include "hici/io/weight_file.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/io/safetensors.h"
#include "hici/io/shard_index.h"
#include "hici/io/torch/torch_pickle.h"

#include <set>

namespace hici::io {
namespace {

// Shards as one source. Every name that the index promises is in the shard that it names; shards hold nothing else.
class ShardedSource final : public TensorSource {
 public:
  ShardedSource(const fs::path& index_path, const std::vector<fs::path>& files, const ShardIndex& index,
                FolderCheck* check)
      : index_path_(index_path.string()) {
    const fs::path dir = index_path.parent_path();
    for (const fs::path& file : files) {
      HICI_CHECK(fs::exists(file), index_path_, ": names shard ", printable(file.filename().string()),
                 ", which is missing; fetch it again");
      shards_.emplace(file.filename().string(), open_weight_file(file, Links::kData, check));
    }
    for (const auto& [name, shard] : index) {
      const TensorSource& source = *shards_.at(shard);
      HICI_CHECK(source.has(name), (dir / shard).string(), ": has no tensor '", printable(name), "', which ",
                 index_path.filename().string(), " says it has; fetch the shard again");
      tensors_.emplace(name, source.info(name));
      shard_of_.emplace(name, shard);
    }
    for (const auto& [shard, source] : shards_)
      for (const auto& [name, ignored] : source->tensors())
        HICI_CHECK(tensors_.count(name) != 0, (dir / shard).string(), ": tensor '", printable(name), "' is not in ",
                   index_path.filename().string(), "; do shard and index belong together?");
  }

  using TensorSource::read;
  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  at::Tensor read(const std::string& name, at::ScalarType dtype, at::Device device) const override {
    info(name);
    return shards_.at(shard_of_.at(name))->read(name, dtype, device);
  }
  std::string file_of(const std::string& name) const override {
    const auto found = shard_of_.find(name);
    return found == shard_of_.end() ? index_path_ : shards_.at(found->second)->file_of(name);
  }
  std::string content_of(const std::string& name) const override {
    const auto found = shard_of_.find(name);
    return found == shard_of_.end() ? "" : shards_.at(found->second)->content_of(name);
  }

 private:
  std::string index_path_;
  std::map<std::string, std::shared_ptr<const TensorSource>> shards_;
  std::map<std::string, TensorInfo> tensors_;
  std::map<std::string, std::string> shard_of_;
};

OpenedWeights open_sharded(const fs::path& index_path, FolderCheck* check) {
  if (check != nullptr) check->require_listed(index_path);
  const ShardIndex index = parse_shard_index(read_companion_json(index_path), index_path.string());
  std::set<std::string> names;
  for (const auto& [ignored, shard] : index) names.insert(shard);
  OpenedWeights out;
  for (const std::string& name : names) out.files.push_back(index_path.parent_path() / name);
  out.source = std::make_shared<ShardedSource>(index_path, out.files, index, check);
  return out;
}

}  // namespace

std::shared_ptr<const TensorSource> open_weight_file(const fs::path& path, Links links, FolderCheck* check) {
  const std::string extension = path.extension().string();
  std::optional<SafetensorsHashes> expected = check != nullptr ? check->expect(path) : std::nullopt;
  if (extension == ".safetensors") return std::make_shared<SafetensorsFile>(path, links, std::move(expected));
  HICI_CHECK(extension == ".bin" || extension == ".pt" || extension == ".pth", path.string(),
             ": is no file of weights; expected .safetensors, .bin, .pt or .pth");
  return std::make_shared<TorchFile>(path, links);
}

OpenedWeights open_weights(const fs::path& dir, const std::string& stem, const std::string& bin_stem,
                           FolderCheck* check) {
  for (const std::string& name : {stem + ".safetensors", bin_stem + ".bin"}) {
    const fs::path single = dir / name, index = dir / (name + ".index.json");
    if (is_there(single)) return {open_weight_file(single, Links::kData, check), {single}};
    if (is_there(index)) return open_sharded(index, check);
  }
  return {};
}

}  // namespace hici::io
