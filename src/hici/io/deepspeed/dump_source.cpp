// SPDX-License-Identifier: Apache-2.0
#include "hici/io/deepspeed/dump_source.h"

#include "hici/base/error.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/io/deepspeed/model_states.h"

#include <ATen/Functions.h>
#include <c10/core/ScalarType.h>

#include <algorithm>
#include <optional>

namespace hici::io {
namespace {

using pickle::Kind;

constexpr int64_t kPieceBytes = int64_t{1} << 18;  // stays in the cache from the file to the file
constexpr int64_t kMaxRanks = int64_t{1} << 20;

// {"param": tensor, ...} at stages 1 and 2, the tensor alone at stage 3.
SavedTensor universal_tensor(const std::shared_ptr<const DumpFile>& file, const std::string& name) {
  const PickledValue root(file->archive().read_pickle(), file->subject());
  return {file, root.kind() == Kind::kDict ? root.at("param") : root, name};
}

// Buffers are float32, as zero_to_fp32.py makes them.
at::ScalarType type_of_buffer(at::ScalarType stored) { return c10::isFloatingType(stored) ? at::kFloat : stored; }

using Fragments = std::map<std::string, PickledValue>;

Fragments fragments_of(const PickledValue& fragments) {
  Fragments out;
  for (const auto& [name, value] : fragments.entries()) out.emplace(name, value);
  return out;
}

const PickledValue& fragment(const Fragments& by_name, const PickledValue& fragments, const std::string& name) {
  const auto found = by_name.find(name);
  HICI_CHECK(found != by_name.end(), fragments.subject(), " has no '", printable(name), "'; the file is damaged");
  return found->second;
}

int64_t ranks_of(const DumpFiles& files, const PickledValue& root) {
  if (!files.is_universal) return static_cast<int64_t>(files.optimizer_states.size());
  const std::optional<PickledValue> said = root.find("dp_world_size");
  const int64_t ranks = said ? said->integer() : static_cast<int64_t>(files.model_states.size());
  HICI_CHECK(ranks >= 1 && ranks <= kMaxRanks, root.subject(), ": says that ", ranks,
             " ranks trained it, expected 1 to ", kMaxRanks);
  return ranks;
}

}  // namespace

DumpSource::DumpSource(const DumpFiles& files) : folder_(files.folder) {
  const std::shared_ptr<const DumpFile> first = open(files.model_states.front());
  const PickledValue root = first->root();
  const ParameterGroups groups = trained_groups(root);
  refuse_unsupported_runs(root);
  HICI_CHECK(!files.is_universal || !mixes_up_universal(root), folder_.string(),
             ": is a universal checkpoint of a run with `round_robin_gradients`, in which DeepSpeed mixes up the ",
             "weights; use the checkpoint that it was made from");
  world_size_ = ranks_of(files, root);
  HICI_CHECK(files.is_universal || !files.optimizer_states.empty(), folder_.string(),
             ": has no ..._optim_states.pt, which hold the trained weights; fetch the files of all ranks");
  files.is_universal ? add_universal(files, groups) : add_trained(files, groups);
  for (const auto& [name, ignored] : tensors_) trained_.insert(name);
  files.is_partitioned ? add_shares_of_frozen(files, root, groups) : add_frozen(first, root);
  add_shared(root);
  add_rest_of_module(files, first, root);
}

std::shared_ptr<const DumpFile> DumpSource::open(const fs::path& path) {
  files_.push_back(path);
  open_files_.push_back(std::make_shared<DumpFile>(path));
  return open_files_.back();
}

void DumpSource::add(const ParameterShape& parameter, at::ScalarType dtype, Place place) {
  HICI_CHECK(tensors_.emplace(parameter.name, TensorInfo{dtype, parameter.shape}).second, folder_.string(),
             ": parameter '", printable(parameter.name), "' is there twice; the files are damaged");
  HICI_CHECK(tensors_.size() <= kMaxTensors, folder_.string(), ": holds more than ", kMaxTensors, " tensors");
  places_.emplace(parameter.name, std::move(place));
}

void DumpSource::add_trained(const DumpFiles& files, const ParameterGroups& groups) {
  OptimizerStates states = read_optimizer_states(files);
  HICI_CHECK((states.stage == 3) == files.is_partitioned, folder_.string(), ": its optimizer states are of ZeRO stage ",
             states.stage, ", its model states of ", files.is_partitioned ? "stage 3" : "stage 1 or 2",
             "; remove the files of one run");
  HICI_CHECK(!files.is_partitioned || files.model_states.size() == files.optimizer_states.size(), folder_.string(),
             ": has model states of ", files.model_states.size(), " ranks and optimizer states of ",
             files.optimizer_states.size(), "; fetch the files of all ranks");
  FlatPlaces places = place_parameters(states, groups);
  for (size_t group = 0; group < groups.size(); ++group) {
    for (size_t i = 0; i < groups[group].size(); ++i) {
      const int64_t begin = places.begins[group][i];
      const size_t vector = states.stage == 3 ? 0 : group;
      const at::ScalarType type = places.vectors[vector].parts().empty() ? at::kFloat : places.vectors[vector].dtype();
      add(groups[group][i], type, states.stage == 3 ? Place(OverRanks{begin}) : Place(InVector{vector, begin}));
    }
  }
  vectors_ = std::move(places.vectors);
  open_files_.insert(open_files_.end(), states.files.begin(), states.files.end());
  files_.insert(files_.end(), files.optimizer_states.begin(), files.optimizer_states.end());
}

void DumpSource::add_universal(const DumpFiles& files, const ParameterGroups& groups) {
  for (const std::vector<ParameterShape>& group : groups) {
    for (const ParameterShape& parameter : group) {
      HICI_CHECK(is_plain_name(parameter.name), folder_.string(), ": parameter '", printable(parameter.name),
                 "' is no name of a folder; the files are damaged");
      const fs::path path = folder_ / "zero" / parameter.name / "fp32.pt";
      HICI_CHECK(is_there(path), path.string(), ": is not there; fetch the folder again");
      const SavedTensor tensor = universal_tensor(std::make_shared<DumpFile>(path), parameter.name);
      // Older releases let ranks without a share add elements behind the last one of stage 3.
      const int64_t found = tensor.num_elements();
      const int64_t most =
          files.is_partitioned ? share_of_rank(parameter.count, world_size_) * world_size_ : parameter.count;
      HICI_CHECK(found >= parameter.count && found <= most, path.string(), ": has ", found, " elements, parameter '",
                 printable(parameter.name), "' ", shown_shape(parameter.shape), " has ", parameter.count,
                 "; does it belong to these model states?");
      add(parameter, tensor.tensor.dtype, OwnFile{path});
      files_.push_back(path);
    }
  }
}

void DumpSource::add_frozen(const std::shared_ptr<const DumpFile>& first, const PickledValue& root) {
  const std::vector<ParameterShape> shapes = frozen_shapes(root);
  if (shapes.empty()) return;
  const PickledValue fragments = root.at("frozen_param_fragments");
  const Fragments by_name = fragments_of(fragments);
  for (const ParameterShape& parameter : shapes) {
    SavedTensor tensor(first, fragment(by_name, fragments, parameter.name), parameter.name);
    HICI_CHECK(tensor.tensor.sizes == parameter.shape, first->subject(), ": frozen parameter '",
               printable(parameter.name), "' is ", shown_shape(tensor.tensor.sizes), ", its shape is said to be ",
               shown_shape(parameter.shape), "; the file is damaged");
    const at::ScalarType type = tensor.tensor.dtype;
    add(parameter, type, std::move(tensor));
  }
}

// At stage 3: each rank has its share of each, filled up to equal lengths. All ranks list the same parameters.
void DumpSource::add_shares_of_frozen(const DumpFiles& files, const PickledValue& root, const ParameterGroups& groups) {
  const std::vector<ParameterShape> shapes = frozen_shapes(root);
  const auto num_ranks = static_cast<int64_t>(files.model_states.size());
  const size_t begin = vectors_.size();
  vectors_.resize(begin + shapes.size());
  for (size_t rank = 0; rank < files.model_states.size(); ++rank) {
    const auto file = rank == 0        ? open_files_.front()
                      : shapes.empty() ? std::make_shared<const DumpFile>(files.model_states[rank])
                                       : open(files.model_states[rank]);
    const PickledValue of_rank = rank == 0 ? root : file->root();
    HICI_CHECK(trained_groups(of_rank) == groups && frozen_shapes(of_rank) == shapes, file->subject(),
               ": lists other parameters than the file of rank 0; do the files belong to one run?");
    if (shapes.empty()) continue;
    const PickledValue fragments = of_rank.at("frozen_param_fragments");
    const Fragments by_name = fragments_of(fragments);
    for (size_t i = 0; i < shapes.size(); ++i) {
      SavedTensor tensor(file, fragment(by_name, fragments, shapes[i].name), shapes[i].name);
      const int64_t share = share_of_rank(shapes[i].count, num_ranks);
      HICI_CHECK(tensor.num_elements() == share, file->subject(), ": frozen parameter '", printable(shapes[i].name),
                 "' ", shown_shape(shapes[i].shape), " has ", tensor.num_elements(),
                 " elements of this rank, expected ", share, "; do the files belong to one run?");
      vectors_[begin + i].append(std::move(tensor));
    }
  }
  for (size_t i = 0; i < shapes.size(); ++i) add(shapes[i], vectors_[begin + i].dtype(), InVector{begin + i, 0});
}

void DumpSource::add_shared(const PickledValue& root) {
  for (const auto& [name, holder] : shared_names(root)) {
    const auto found = tensors_.find(holder);
    if (found == tensors_.end() || tensors_.contains(name)) continue;
    add({.name = name, .shape = found->second.shape}, found->second.dtype, places_.at(holder));
    if (trained_.contains(holder)) trained_.insert(name);
  }
}

// Buffers. Up to stage 2 the module is whole, and at stage 1 frozen parameters are nowhere else.
void DumpSource::add_rest_of_module(const DumpFiles& files, const std::shared_ptr<const DumpFile>& first,
                                    const PickledValue& root) {
  std::set<std::string> buffers;
  if (const std::optional<PickledValue> names = root.find("buffer_names"))
    for (const PickledValue& name : names->items()) buffers.insert(name.text());
  const std::optional<PickledValue> module = root.find("module");
  if (!module) return;
  for (const auto& [name, value] : module->entries()) {
    const bool is_buffer = buffers.contains(name);
    if (!value.is_tensor() || tensors_.contains(name) || (files.is_partitioned && !is_buffer)) continue;
    SavedTensor tensor(first, value, name);
    const at::ScalarType type = is_buffer ? type_of_buffer(tensor.tensor.dtype) : tensor.tensor.dtype;
    const ParameterShape parameter{.name = name, .shape = tensor.tensor.sizes};
    add(parameter, type, std::move(tensor));
  }
}

// In the type in which it is stored.
at::Tensor DumpSource::stored(const std::string& name) const {
  const TensorInfo& entry = info(name);
  const Place& place = places_.at(name);
  if (const auto* whole = std::get_if<SavedTensor>(&place)) return whole->read();
  const int64_t count = entry.num_elements();
  if (const auto* own = std::get_if<OwnFile>(&place)) {
    const auto file = std::make_shared<DumpFile>(own->file);
    const at::Tensor flat = universal_tensor(file, name).read().flatten();
    file->finish();
    HICI_CHECK(flat.numel() >= count && flat.scalar_type() == entry.dtype, own->file.string(),
               ": was replaced while it was read");
    return flat.numel() == count ? flat.view(entry.shape) : flat.narrow(0, 0, count).clone().view(entry.shape);
  }
  at::Tensor out = at::empty(entry.shape, at::TensorOptions(entry.dtype));
  auto* to = static_cast<char*>(out.mutable_data_ptr());
  for_each_run(name, [&](const FlatVector& vector, int64_t begin, int64_t size) {
    vector.read(begin, size, to);
    to += static_cast<size_t>(size) * c10::elementSize(entry.dtype);
  });
  return out;
}

// use(vector, begin, size) for the runs of flat vectors that the tensor is; none for other tensors.
template <typename F>
void DumpSource::for_each_run(const std::string& name, const F& use) const {
  const int64_t count = info(name).num_elements();
  const Place& place = places_.at(name);
  if (const auto* run = std::get_if<InVector>(&place)) return use(vectors_[run->vector], run->begin, count);
  const auto* over_ranks = std::get_if<OverRanks>(&place);
  if (over_ranks == nullptr) return;
  const int64_t share = share_of_rank(count, world_size_);
  for (int64_t at = 0, rank = 0; at < count; at += share, ++rank)
    use(vectors_[static_cast<size_t>(rank)], over_ranks->begin, std::min(share, count - at));
}

void DumpSource::prefetch(const std::string& name) const {
  for_each_run(name, [](const FlatVector& vector, int64_t begin, int64_t size) { vector.prefetch(begin, size); });
}

void DumpSource::note_content(const std::string& name, const ContentHash& hash) const {
  contents_[name] = content_text(info(name), hash);
}

at::Tensor DumpSource::read(const std::string& name, at::ScalarType dtype, at::Device device) const {
  prefetch(name);
  const at::Tensor tensor = stored(name).to(info(name).dtype);
  ContentHash hash;
  hash.update(tensor.const_data_ptr(), tensor.nbytes());
  note_content(name, hash);
  return tensor.to(dtype).to(device);
}

// Whoever reads pieces reads all tensors in turn: the disk is asked for the next one meanwhile.
void DumpSource::read_pieces(const std::string& name, const PieceSink& sink) const {
  const Place& place = places_.at(name);
  if (!std::holds_alternative<InVector>(place) && !std::holds_alternative<OverRanks>(place))
    return TensorSource::read_pieces(name, sink);
  prefetch(name);
  if (const auto next = tensors_.upper_bound(name); next != tensors_.end()) prefetch(next->first);
  const auto width = static_cast<int64_t>(c10::elementSize(info(name).dtype));
  const int64_t most = kPieceBytes / width;
  std::vector<char> piece(kPieceBytes);
  ContentHash hash;
  for_each_run(name, [&](const FlatVector& vector, int64_t begin, int64_t size) {
    for (int64_t done = 0; done < size; done += most) {
      const int64_t count = std::min(most, size - done);
      const auto bytes = static_cast<size_t>(count * width);
      vector.read(begin + done, count, piece.data());
      hash.update(piece.data(), bytes);
      sink(piece.data(), bytes);
    }
  });
  note_content(name, hash);
}

std::string DumpSource::file_of(const std::string& name) const {
  const auto found = places_.find(name);
  if (found == places_.end()) return folder_.string();
  if (const auto* whole = std::get_if<SavedTensor>(&found->second)) return whole->file->subject();
  if (const auto* own = std::get_if<OwnFile>(&found->second)) return own->file.string();
  return folder_.string();
}

std::string DumpSource::content_of(const std::string& name) const {
  const auto found = contents_.find(name);
  return found == contents_.end() ? "" : found->second;
}

void DumpSource::finish() const {
  for (const std::shared_ptr<const DumpFile>& file : open_files_) file->finish();
}

}  // namespace hici::io
