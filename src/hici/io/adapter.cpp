// SPDX-License-Identifier: Apache-2.0
#include "hici/io/adapter.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/hub_id.h"
#include "hici/base/human.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/base/log.h"
#include "hici/base/nearby.h"
#include "hici/base/version.h"
#include "hici/config/parameter_names.h"
#include "hici/io/adapter_modules.h"
#include "hici/io/deepspeed/beside_adapter.h"
#include "hici/io/deepspeed/dump_folder.h"
#include "hici/io/directory_writer.h"
#include "hici/io/model_directory.h"
#include "hici/io/torch/archive_writer.h"
#include "hici/io/weight_file.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <array>
#include <set>

namespace hici::io {
namespace {

using config::HiciConfig;
using nlohmann::json;

constexpr const char* kPeftPrefix = "base_model.model.";

class EmptySource final : public TensorSource {
 public:
  explicit EmptySource(std::string path) : path_(std::move(path)) {}
  const std::map<std::string, TensorInfo>& tensors() const override { return tensors_; }
  at::Tensor read(const std::string& name, at::ScalarType, at::Device) const override {
    info(name);
    return {};
  }
  std::string file_of(const std::string&) const override { return path_; }

 private:
  std::string path_;
  std::map<std::string, TensorInfo> tensors_;
};

// One tensor of an adapter's file, by its plain name.
struct NamedTensor {
  std::string name;  // in the file
  Spelling spelling;
};
using NamedTensors = std::map<std::string, NamedTensor>;

// A weight that stands twice: PEFT reads X.weight, and X.modules_to_save.weight is its copy.
void settle_twin(const TensorSource& source, const std::string& plain, NamedTensor& kept, NamedTensor other) {
  HICI_CHECK(kept.spelling != Spelling::kBaseLayer && other.spelling != Spelling::kBaseLayer, source.file_of(kept.name),
             ": tensors '", printable(kept.name), "' and '", printable(other.name), "' are both '", printable(plain),
             "'; expected one");
  const auto same = [&] { return at::equal(source.read(kept.name), source.read(other.name)); };
  HICI_CHECK(source.info(kept.name).shape == source.info(other.name).shape && same(), source.file_of(kept.name),
             ": tensors '", printable(kept.name), "' and '", printable(other.name), "' are both '", printable(plain),
             "' and differ; remove the one that does not belong to the adapter");
  if (other.spelling == Spelling::kPlain) kept = std::move(other);
}

NamedTensors named_tensors(const TensorSource& source) {
  NamedTensors out;
  std::string adapter, wrapper;
  for (const auto& [name, ignored] : source.tensors()) {
    const PeftName parsed = parse_peft_name(name);
    if (parsed.plain.empty()) continue;
    HICI_CHECK(parsed.adapter.empty() || adapter.empty() || parsed.adapter == adapter, source.file_of(name),
               ": holds two adapters, '", printable(adapter), "' and '", printable(parsed.adapter),
               "'; save one of them with PEFT's save_pretrained(selected_adapters=[...])");
    if (!parsed.adapter.empty()) adapter = parsed.adapter;
    if (!parsed.wrapper.empty()) wrapper = parsed.wrapper;
    NamedTensor tensor{name, parsed.spelling};
    const auto [place, is_new] = out.emplace(parsed.plain, tensor);
    if (!is_new) settle_twin(source, parsed.plain, place->second, std::move(tensor));
  }
  if (!wrapper.empty())
    log_info(source.file_of(""), ": names of tensors have the prefix ", wrapper,
             ". of a wrapped model; they are read without it");
  return out;
}

// Factors and what else PEFT adds, or the whole parameters, under plain names.
std::shared_ptr<const TensorSource> plain_part(const std::shared_ptr<const TensorSource>& source,
                                               const NamedTensors& tensors, bool of_peft) {
  std::vector<std::pair<std::string, std::string>> names;
  for (const auto& [plain, tensor] : tensors)
    if (is_peft_parameter(plain) == of_peft) names.emplace_back(plain, tensor.name);
  return std::make_shared<RenamedSource>(source, names);
}

// Splits a file that may hold both.
void take_parts(Adapter& adapter, const std::shared_ptr<const TensorSource>& source) {
  const NamedTensors tensors = named_tensors(*source);
  adapter.lora_tensors = plain_part(source, tensors, true);
  adapter.trainables = plain_part(source, tensors, false);
  for (const auto& [plain, tensor] : tensors)
    if (tensor.spelling == Spelling::kBaseLayer) adapter.copies.insert(plain);
}

// PEFT reads the weight of an adapted layer under the name of its base layer alone, and leaves this one out.
void refuse_weights_beside_factors(const Adapter& adapter) {
  for (const auto& [name, ignored] : adapter.trainables->tensors()) {
    if (!name.ends_with("_proj.weight") || adapter.copies.contains(name)) continue;
    const std::string module = name.substr(0, name.rfind('.'));
    HICI_CHECK(!adapter.lora_tensors->has(module + ".lora_A.weight"), adapter.trainables->file_of(name), ": tensor '",
               printable(name),
               "' is the weight of a layer that has factors, which PEFT does not read under this name; ",
               "remove it, or store it as '", printable(module), ".base_layer.weight'");
  }
}

// Reads one HiCI shape and insists that every layer agrees.
class ShapeReader {
 public:
  explicit ShapeReader(const TensorSource& tensors) : tensors_(tensors) {}

  // The size `dimension` of the tensors whose name ends in `end`, or nothing when there are none.
  std::optional<int64_t> size(const std::string& end, size_t dimension) const {
    std::optional<int64_t> out;
    for (const auto& [name, info] : tensors_.tensors()) {
      if (name.size() < end.size() || name.compare(name.size() - end.size(), end.size(), end) != 0) continue;
      HICI_CHECK(dimension < info.shape.size() && info.shape[dimension] > 0, tensors_.file_of(name), ": tensor '",
                 printable(name), "' is ", shown_shape(info.shape), ", expected more dimensions");
      HICI_CHECK(!out || *out == info.shape[dimension], tensors_.file_of(name), ": tensor '", printable(name), "' is ",
                 shown_shape(info.shape), ", another layer's has size ", out.value_or(0),
                 "; HiCI modules are the same in every layer");
      out = info.shape[dimension];
    }
    return out;
  }
  bool has(const std::string& end) const { return size(end, 0).has_value(); }

 private:
  const TensorSource& tensors_;
};

std::string way_to_missing_half(const fs::path& dir) {
  if (open_weights(dir, "model", "pytorch_model").source)
    return "make it with hici extract `checkpoint_path` " + dir.string();
  const std::string trace = trace_of_deepspeed(dir);
  if (!trace.empty())
    return "fetch all of its training checkpoint of DeepSpeed (" + printable(trace) + "), which has it";
  return "copy it here, or make it with hici extract from the checkpoint's full dump (pytorch_model.bin)";
}

void check_halves(const Adapter& adapter, bool has_lora_file, bool has_trained_file) {
  const std::string dir = adapter.path.string();
  if (has_lora_file && !has_trained_file && adapter.trainables->tensors().empty()) {
    const auto& factors = adapter.lora_tensors->tensors();
    const bool adapts_hici = std::any_of(factors.begin(), factors.end(),
                                         [](const auto& item) { return config::is_hici_parameter(item.first); });
    // Beside a config.json the weights are those of the base, and no dump that has the rest.
    const bool has_dump =
        !is_there(adapter.path / "config.json") && open_weights(adapter.path, "model", "pytorch_model").source;
    HICI_CHECK(!adapts_hici && !has_dump, dir,
               ": has adapter_model and no trainable_params (embedding, norms, HiCI modules); ",
               way_to_missing_half(adapter.path));
  }
  HICI_CHECK(!has_trained_file || has_lora_file || !adapter.lora_tensors->tensors().empty() ||
                 !is_there(adapter.path / "adapter_config.json"),
             dir, ": has trainable_params and adapter_config.json, and no adapter_model (the LoRA factors); ",
             way_to_missing_half(adapter.path));
}

// trainable_params, and what adapter_model holds beside it: PEFT puts embedding and head there when rows were added.
std::shared_ptr<const TensorSource> with_rest(std::shared_ptr<const TensorSource> trained,
                                              const std::shared_ptr<const TensorSource>& beside_factors) {
  std::vector<std::pair<std::string, std::string>> rest;
  for (const auto& [name, info] : beside_factors->tensors()) {
    if (!trained->has(name)) rest.emplace_back(name, name);
    HICI_CHECK(!trained->has(name) || trained->info(name).shape == info.shape, trained->file_of(name), ": tensor '",
               printable(name), "' is ", shown_shape(trained->info(name).shape), ", in ", beside_factors->file_of(name),
               " it is ", shown_shape(info.shape), "; do the files belong to different adapters?");
  }
  if (rest.empty()) return trained;
  return std::make_shared<JoinedSource>(std::move(trained), std::make_shared<RenamedSource>(beside_factors, rest));
}

void note_training_dump(Adapter& adapter, const TrainingDump& dump) {
  adapter.check->at_finish(dump.finish);
  adapter.files.insert(adapter.files.end(), dump.files.begin(), dump.files.end());
}

void take_missing_half(Adapter& adapter, bool has_lora_file) {
  const auto missing = missing_in_adapter(adapter.path, *adapter.lora_tensors, *adapter.trainables, has_lora_file);
  if (!missing) return;
  note_training_dump(adapter, missing->dump);
  std::shared_ptr<const TensorSource>& half = has_lora_file ? adapter.trainables : adapter.lora_tensors;
  half = with_rest(std::make_shared<RenamedSource>(missing->dump.source, missing->names), half);
}

// The two files of an adapter; false when neither is there.
bool open_pair(Adapter& adapter) {
  const OpenedWeights lora = open_weights(adapter.path, "adapter_model", "adapter_model", adapter.check.get());
  const OpenedWeights trained = open_weights(adapter.path, "trainable_params", "trainable_params", adapter.check.get());
  if (lora.source) {
    take_parts(adapter, lora.source);  // PEFT keeps modules_to_save beside the factors
    refuse_weights_beside_factors(adapter);
  }
  if (trained.source)
    adapter.trainables =
        with_rest(plain_part(trained.source, named_tensors(*trained.source), false), adapter.trainables);
  for (const OpenedWeights* part : {&lora, &trained})
    adapter.files.insert(adapter.files.end(), part->files.begin(), part->files.end());
  const bool needs_factors = trained.source && is_there(adapter.path / "adapter_config.json");
  if (!lora.source != !trained.source && (lora.source || needs_factors))
    take_missing_half(adapter, lora.source != nullptr);
  check_halves(adapter, lora.source != nullptr, trained.source != nullptr);
  return !adapter.files.empty();
}

bool open_full_dump(Adapter& adapter) {
  OpenedWeights full = open_weights(adapter.path, "model", "pytorch_model", adapter.check.get());
  if (!full.source) return false;
  take_parts(adapter, full.source);
  adapter.is_full_dump = true;
  adapter.files = std::move(full.files);
  return true;
}

bool open_training_dump_of(Adapter& adapter, bool may_be_other) {
  const std::optional<TrainingDump> dump = find_training_dump(adapter.path, may_be_other);
  if (!dump) return false;
  note_training_dump(adapter, *dump);
  take_parts(adapter, dump->source);
  adapter.is_full_dump = true;
  return true;
}

void open_parts(Adapter& adapter, bool prefer_full_dump) {
  const std::string dir = adapter.path.string();
  adapter.lora_tensors = adapter.trainables = std::make_shared<EmptySource>(dir);
  if (prefer_full_dump && (open_full_dump(adapter) || open_training_dump_of(adapter, true))) return;
  if (open_pair(adapter) || open_full_dump(adapter) || open_training_dump_of(adapter, false)) return;
  refuse_other_checkpoints(adapter.path);
  fail(dir,
       ": holds no adapter; expected adapter_model.safetensors, trainable_params.safetensors (or .bin) or a full "
       "pytorch_model.bin",
       found_nearby(adapter.path, is_adapter_directory));
}

bool is_first_factor(const std::string& name) {
  return name.ends_with(".lora_A.weight") || name.ends_with(".lora_embedding_A");
}

// Of the first factor, for an adapter without adapter_config.json.
int64_t rank_of(const TensorSource& factors) {
  for (const auto& [name, info] : factors.tensors())
    if (is_first_factor(name) && !info.shape.empty()) return std::max<int64_t>(1, info.shape[0]);
  return 1;
}

void check_rank(const Adapter& adapter, const std::string& name, bool is_said) {
  const TensorInfo& info = adapter.lora_tensors->info(name);
  const int64_t rank = adapter.lora.shape_of(adapted_module(name)).rank;
  if (info.shape.empty() || info.shape[0] == rank) return;
  fail(adapter.lora_tensors->file_of(name), ": tensor '", printable(name), "' is ", shown_shape(info.shape),
       ", so its rank is ", info.shape[0], "; ",
       is_said ? (adapter.path / "adapter_config.json").string() + " says r" : "another factor has", " ", rank,
       ", do the files belong to different adapters?");
}

// The rank is in every factor; alpha is in no tensor.
void settle_rank_and_alpha(Adapter& adapter, const AdapterReading& reading) {
  const fs::path file = adapter.path / "adapter_config.json";
  const auto& factors = adapter.lora_tensors->tensors();
  const bool is_said = is_there(file);
  if (is_said) {
    adapter.peft = parse_peft_config(read_file(file, kMaxJsonBytes, Links::kCompanion), file.string());
    adapter.lora = adapter.peft.lora;
    adapter.base_model = adapter.peft.base_model;
  }
  HICI_CHECK(!is_said || !reading.lora_alpha || *reading.lora_alpha == adapter.lora.alpha, file.string(),
             ": lora_alpha is ", adapter.lora.alpha, ", and `lora_alpha` says ", reading.lora_alpha.value_or(0),
             "; leave the option out");
  if (factors.empty()) return;
  HICI_CHECK(
      is_said || reading.lora_alpha, adapter.path.string(),
      ": has LoRA tensors and no adapter_config.json, so their scale (lora_alpha / r) is not known; add the file, or "
      "make one with hici extract `lora_alpha` N (the research code trains with 16)");
  if (!is_said) {
    adapter.lora.alpha = *reading.lora_alpha;
    adapter.lora.rank = rank_of(*adapter.lora_tensors);
  }
  for (const auto& [name, ignored] : factors)
    if (is_first_factor(name)) check_rank(adapter, name, is_said);
}

json number_of(double value) {
  return value == static_cast<double>(static_cast<int64_t>(value)) ? json(static_cast<int64_t>(value)) : json(value);
}

// Keys and targets of the kinds that the tensors show.
void add_kinds(const AdapterToWrite& adapter, nlohmann::ordered_json& config) {
  std::set<std::string> others;
  for (const TensorToWrite& tensor : adapter.lora_tensors) {
    const std::string& name = tensor.name;
    if (name.ends_with(".lora_magnitude_vector")) config["use_dora"] = true;
    if (name.ends_with(".lora_B.bias")) config["lora_bias"] = true;
    if (name.ends_with(".lora_embedding_A")) others.insert("embed_tokens");
    if (name == "lm_head.lora_A.weight") others.insert("lm_head");
  }
  for (const std::string& target : others) config["target_modules"].push_back(target);
}

// In the order of insertion: the first pattern that matches counts.
nlohmann::ordered_json peft_config(const AdapterToWrite& adapter) {
  // Keys that every PEFT since 0.3 knows: 0.6 to 0.13 raise on any other. Others only where the numbers need them.
  nlohmann::ordered_json out = {{"peft_type", "LORA"},
                                {"task_type", "CAUSAL_LM"},
                                {"r", adapter.lora.rank},
                                {"lora_alpha", number_of(adapter.lora.alpha)},
                                {"lora_dropout", adapter.lora_dropout},
                                {"bias", "none"},
                                {"target_modules", adapter.lora.targets},
                                {"base_model_name_or_path", adapter.base_model},
                                {"fan_in_fan_out", false},
                                {"init_lora_weights", true},
                                {"modules_to_save", nullptr},
                                {"inference_mode", true}};
  add_kinds(adapter, out);
  if (adapter.lora.use_rslora) out["use_rslora"] = true;
  for (const auto& [key, rank] : adapter.lora.rank_pattern.items()) out["rank_pattern"][key] = rank;
  for (const auto& [key, alpha] : adapter.lora.alpha_pattern.items()) out["alpha_pattern"][key] = number_of(alpha);
  return out;
}

std::vector<TensorToWrite> with_prefix(std::vector<TensorToWrite> tensors, const std::string& prefix) {
  for (TensorToWrite& tensor : tensors) tensor.name = prefix + tensor.name;
  return tensors;
}

}  // namespace

const Fold* Adapter::fold_of(const std::string& module) const {
  for (const Fold& fold : folds)
    if (fold.module == module) return &fold;
  return nullptr;
}

std::optional<HiciConfig> hici_config_of(const TensorSource& tensors, const HiciConfig& otherwise) {
  const ShapeReader shapes(tensors);
  const bool local = shapes.has(".local_constructor.memory_slots"),
             global = shapes.has(".global_integrator.global_queries");
  if (!local && !global) return std::nullopt;
  HiciConfig out = otherwise;
  out.use_local_constructor = local;
  out.use_global_integrator = global;
  if (local) {
    out.num_local_slots = *shapes.size(".local_constructor.memory_slots", 0);
    out.use_bottleneck = shapes.has(".local_constructor.o_proj.weight");
    if (out.use_bottleneck)
      out.bottleneck_dim = shapes.size(".local_constructor.q_proj.weight", 0).value_or(out.bottleneck_dim);
  }
  if (global) {
    const int64_t width = *shapes.size(".global_integrator.global_queries", 1);
    HICI_CHECK(!local || !out.use_bottleneck || width == out.bottleneck_dim, tensors.file_of(""),
               ": local constructors of width ", out.bottleneck_dim, " and global integrators of width ", width,
               "; expected one bottleneck_dim for both");
    out.bottleneck_dim = width;
    out.global_slots = *shapes.size(".global_integrator.global_queries", 0);
    out.shared_compressor = shapes.has(".global_integrator.shared_compressor.0.weight");
    if (out.shared_compressor)
      out.shared_compress_dim = *shapes.size(".global_integrator.shared_compressor.0.weight", 0);
  }
  return out;
}

std::optional<HiciConfig> Adapter::hici_config(const HiciConfig& otherwise) const {
  const std::optional<HiciConfig> shown = hici_config_of(*trainables, settings ? settings->hici : otherwise);
  if (!shown || !settings) return shown;
  HICI_CHECK(*shown == settings->hici, (path / "hici_config.json").string(),
             ": its sizes are not those of the tensors (", shown->num_local_slots, " local and ", shown->global_slots,
             " global slots, width ", shown->bottleneck_dim, "); the files belong to different adapters");
  return shown;
}

bool is_adapter_directory(const fs::path& path) {
  constexpr std::array<const char*, 5> kNames = {"adapter_config.json", "adapter_model.safetensors",
                                                 "adapter_model.bin", "trainable_params.safetensors",
                                                 "trainable_params.bin"};
  if (std::any_of(kNames.begin(), kNames.end(), [&](const char* name) { return is_there(path / name); })) return true;
  return !is_there(path / "config.json") && !trace_of_deepspeed(path).empty();
}

Adapter read_adapter(const fs::path& path, const AdapterReading& reading) {
  HICI_CHECK(fs::is_directory(path), path.string(), ": is no directory; expected an adapter or a checkpoint",
             hub_hint(path, HubKind::kModel));
  Adapter adapter;
  adapter.path = path;
  adapter.check = std::make_shared<FolderCheck>(path);
  HICI_CHECK(!is_there(path / (std::string(kHiciModulesStem) + ".safetensors")), path.string(),
             ": is a merged model with its HiCI modules and no adapter; give it as the base model, without an adapter");
  open_parts(adapter, reading.prefer_full_dump);
  settle_rank_and_alpha(adapter, reading);
  sort_modules(adapter);
  const fs::path own = path / "hici_config.json";
  if (is_there(own)) adapter.settings = config::parse_adapter_settings(read_companion_json(own), own.string());
  adapter.identity = read_identity(path);
  return adapter;
}

void write_adapter_files(const fs::path& folder, AdapterToWrite adapter) {
  const auto write_tensors = [&](const std::string& stem, std::vector<TensorToWrite> tensors) {
    if (adapter.format == AdapterFormat::kBin) return write_torch_file(folder / (stem + ".bin"), tensors);
    write_safetensors(folder / (stem + ".safetensors"), std::move(tensors));
  };
  if (!adapter.lora_tensors.empty()) {
    write_file_atomically(folder / "adapter_config.json", peft_config(adapter).dump(2) + "\n");
    write_tensors("adapter_model", with_prefix(std::move(adapter.lora_tensors), kPeftPrefix));
  }
  if (!adapter.trainables.empty()) write_tensors("trainable_params", std::move(adapter.trainables));
  if (adapter.identity) write_identity(folder, *adapter.identity);
  if (!adapter.settings_are_known) return;
  if (adapter.settings.library_version.empty()) adapter.settings.library_version = kVersion;
  write_file_atomically(folder / "hici_config.json", config::to_json(adapter.settings).dump(2) + "\n");
}

uint64_t adapter_bytes(const AdapterToWrite& adapter) {
  uint64_t bytes = 0;
  if (!adapter.lora_tensors.empty()) {
    bytes += safetensors_bytes(with_prefix(adapter.lora_tensors, kPeftPrefix)) + peft_config(adapter).dump(2).size();
  }
  if (!adapter.trainables.empty()) bytes += safetensors_bytes(adapter.trainables);
  if (adapter.identity) bytes += identity_text(*adapter.identity).size();
  if (adapter.settings_are_known) bytes += config::to_json(adapter.settings).dump(2).size();
  return bytes;
}

void write_adapter(const fs::path& path, AdapterToWrite adapter) {
  DirectoryWriter writer(path, adapter_bytes(adapter));
  write_adapter_files(writer.folder(), std::move(adapter));
  writer.publish();
}

}  // namespace hici::io
