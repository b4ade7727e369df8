// SPDX-License-Identifier: Apache-2.0
#include "hici/io/merge.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/base/sha256.h"
#include "hici/base/version.h"
#include "hici/base/log.h"
#include "hici/config/parameter_names.h"
#include "hici/config/rope_json.h"
#include "hici/io/directory_writer.h"
#include "hici/io/gguf/model.h"
#include "hici/io/known_files.h"
#include "hici/io/merge_part.h"
#include "hici/io/opened_model.h"
#include "hici/io/remote_code.h"

#include <ATen/ATen.h>

#include <ctime>

namespace hici::io {
namespace {

using nlohmann::json;

struct DtypeName {
  const char* name;
  at::ScalarType dtype;
};
constexpr DtypeName kMergeDtypes[] = {
    {"float32", at::kFloat}, {"bfloat16", at::kBFloat16}, {"float16", at::kHalf}, {"float64", at::kDouble}};

const char* stored_name_of(at::ScalarType dtype) {
  for (const DtypeName& known : kMergeDtypes)
    if (known.dtype == dtype) return known.name;
  HICI_ASSERT(false, "type ", dtype);
  return "";
}

at::ScalarType dtype_of(const config::ModelConfig& config, const fs::path& base) {
  for (const DtypeName& known : kMergeDtypes)
    if (config.torch_dtype == known.name) return known.dtype;
  fail((base / "config.json").string(), ": torch_dtype '", printable(config.torch_dtype),
       "' is not known; give `torch_dtype` float16, bfloat16 or float32");
}

gguf::TensorType gguf_type_of(at::ScalarType dtype) {
  if (dtype == at::kHalf) return gguf::TensorType::kF16;
  return dtype == at::kBFloat16 ? gguf::TensorType::kBF16 : gguf::TensorType::kF32;
}

class Merge {
 public:
  Merge(const MergeRequest& request, const OpenedModel& opened, const config::HiciConfig& hici)
      : request_(request),
        opened_(opened),
        loaded_(describe(hici)),
        dtype_(request.dtype ? *request.dtype : dtype_of(opened_.base.config(), opened_.base.path())) {
    if (request_.gguf) result_.gguf_type = request_.gguf->type.value_or(gguf_type_of(dtype_));
    HICI_ASSERT(!result_.gguf_type || !request_.with_hici, "a GGUF file with HiCI modules");
    HICI_CHECK(!request_.with_hici || loaded_.has_hierarchy, "`with_hici` True: neither ",
               opened_.adapter->path.string(), " nor ", opened_.base.path().string(),
               " has HiCI modules; leave it out");
    collect_parts();
  }

  MergeResult run() {
    result_.config = merged_config();
    if (result_.gguf_type)
      write_gguf();
    else
      write_directory();
    return std::move(result_);
  }

 private:
  void write_directory() {
    ModelToWrite model{.config = result_.config,
                       .tensors = tensors(model_parts_),
                       .copy_from = opened_.base.path(),
                       .copy_first = opened_.adapter->path,
                       .max_shard_bytes = request_.max_shard_bytes};
    std::vector<TensorToWrite> modules = tensors(hici_parts_);
    result_.bytes = total_bytes_;
    DirectoryWriter writer(request_.output, model_bytes(model) + safetensors_bytes(modules));
    write_model_files(writer, std::move(model));
    if (const std::string readers = config::readers_of_rope(result_.config); !readers.empty())
      log_warning(request_.output.string(), ": ", readers);
    if (!modules.empty()) write_hici_files(writer.folder(), std::move(modules));
    check_and_publish(writer, check_request(writer.folder(), dtype_));
  }

  void write_gguf() {
    const gguf::TensorType type = *result_.gguf_type;
    const std::string subject = opened_.base.path().string();
    const config::ModelConfig config = gguf::written_config(result_.config, subject);
    const gguf::ModelFile model =
        gguf::model_file({.config = config,
                          .type = type,
                          .folders = {companion_folder("tokenizer"), companion_folder("chat template"),
                                      companion_folder("generation config")},
                          .subject = subject},
                         gguf_weights());
    for (const gguf::TensorToWrite& tensor : model.tensors) result_.bytes += gguf::num_bytes(tensor.type, tensor.shape);
    DirectoryWriter writer(request_.output, gguf::file_bytes(model.metadata, model.tensors) + (uint64_t{1} << 20));
    const fs::path file = writer.folder() / gguf::file_name(type);
    gguf::write_file(file, model.metadata, model.tensors);
    // The check computes in float64 where the weights have all of float32's digits.
    MergeCheckRequest check =
        check_request(writer.folder(), type == gguf::TensorType::kF32 ? at::kFloat : at::kBFloat16);
    check.open = [&](const ModelRequest&) {
      auto source = std::make_shared<gguf::ModelSource>(file, config, model);
      return OpenedModel{ModelDirectory::of(file, config, std::move(source)), {}, {}, {}, {}};
    };
    check.tokenizer = companion_folder("tokenizer");
    check.rounding_error = [type](const at::Tensor& numbers) {
      return gguf::rounding_error(gguf::stored_type(type, numbers.sizes().vec()), numbers);
    };
    check_and_publish(writer, check);
  }

  std::vector<gguf::WeightToWrite> gguf_weights() {
    std::vector<gguf::WeightToWrite> out;
    for (const MergePart& part : model_parts_) {
      const std::vector<int64_t> shape = part.source->info(part.name).shape;
      const gguf::TensorType type = gguf::stored_type(*result_.gguf_type, shape);
      gguf::check_rows(type, shape, part.source->file_of(part.name) + ": tensor '" + printable(part.name) + "'");
      const uint64_t bytes = gguf::num_bytes(type, shape);
      total_bytes_ += bytes;
      out.push_back({part.name, shape, [this, &part, bytes] { return read_and_report(part, bytes); }});
    }
    return out;
  }

  at::Tensor read_and_report(const MergePart& part, uint64_t bytes) {
    at::Tensor tensor = part.read();
    done_bytes_ += bytes;
    report("merging", total_bytes_, done_bytes_);
    return tensor;
  }

  // Of base and adapter, that which brings files of this kind.
  fs::path companion_folder(const char* group) const {
    return io::companion_folder(group, opened_.base.path(), opened_.adapter->path);
  }

  MergeCheckRequest check_request(const fs::path& merged, at::ScalarType stored) const {
    return {.model = request_.model,
            .opened = opened_,
            .hici = loaded_.hici,
            .merged = merged,
            .stored = stored,
            .with_hici = !hici_parts_.empty(),
            .rounded = rounded_,
            .progress = [&](uint64_t total, uint64_t done) { report("checking", total, done); },
            .open = open_model,
            .tokenizer = merged};
  }

  void check_and_publish(DirectoryWriter& writer, const MergeCheckRequest& check) {
    result_.check = check_merged(check);
    opened_.finish_checks();
    opened_.warn_of_other_base();
    opened_.warn_of_other_tokenizer();
    write_file_atomically(writer.folder() / kMergeRecordName, record().dump(2) + "\n");
    writer.publish();
  }

  LoadedModel describe(const config::HiciConfig& hici) const {
    check_new_folder(request_.output);
    HICI_ASSERT(opened_.adapter, "a merge without adapter");
    const std::string adapter = opened_.adapter->path.string();
    check_is_no_second_merge();
    HICI_CHECK(!opened_.adapter->lora_tensors->tensors().empty() || !is_whole_model(), adapter,
               ": is a model and no adapter (it has no LoRA factors); give it as `base_model`, or use it as it is");
    HICI_CHECK(
        request_.model.context_size > 0 || opened_.adapter->settings, adapter,
        ": does not say for which context it was trained, and a model without its RoPE scaling is of no use; give "
        "`context_size`, the tokens of a training sequence");
    HICI_CHECK(opened_.adapter->lora.with_bias.empty(), adapter,
               ": lora_bias: a merged layer has no bias that could hold it; evaluate the adapter without merging");
    return describe_model(request_.model, opened_, hici);
  }

  bool is_whole_model() const {
    for (const ExpectedTensor& tensor : expected_tensors(opened_.base.config()))
      if (!opened_.adapter->trainables->has(tensor.name)) return false;
    return true;
  }

  // An adapter belongs to the model that it was trained on. Only one that was trained on the merged model may be merged
  // into it.
  void check_is_no_second_merge() const {
    const fs::path base = opened_.base.path(), file = base / kMergeRecordName;
    if (!is_there(file)) return;
    std::error_code ignored;
    const fs::path& trained_on = opened_.adapter->base_model;
    if (fs::equivalent(trained_on, base, ignored)) return;
    const json record = read_companion_json(file);
    const JsonObject object(record, file.string());
    fail(base.string(), ": is a merged model already (", printable(object.object("adapter").string_or("path", "")),
         " on ", printable(object.object("base").string_or("path", "")), "), and ", opened_.adapter->path.string(),
         " names '", printable(trained_on.string()),
         "' as the model that it was trained on; give that as `base_model`");
  }

  void collect_parts() {
    loaded_.model->visit_parameters([&](const std::string& name, at::Tensor& parameter) {
      const bool is_hici = config::is_hici_parameter(name);
      if (config::is_lora_parameter(name) || (is_hici && !request_.with_hici)) return;
      add_part(name, parameter.sizes().vec(), is_hici ? hici_parts_ : model_parts_);
    });
    result_.dtype = dtype_;
    result_.hici_tensors = hici_parts_.size();
  }

  void add_part(const std::string& name, const std::vector<int64_t>& shape, std::vector<MergePart>& parts) {
    const TensorSource* source = opened_.source_of(name);
    HICI_CHECK(source != nullptr, opened_.adapter->path.string(), ": has no tensor '", name, "', nor has ",
               opened_.base.path().string(), "; the files are not whole");
    HICI_CHECK(source->info(name).shape == shape, source->file_of(name), ": tensor '", name, "' is ",
               shown_shape(source->info(name).shape), ", expected ", shown_shape(shape),
               "; does it belong to another model?");
    const bool is_in_source = source == opened_.folded.get();
    const std::optional<Fold> fold = fold_of(name);
    const at::ScalarType dtype = result_.gguf_type ? gguf_dtype(*source, name, fold.has_value()) : dtype_;
    parts.push_back({name, source, opened_.adapter->lora_tensors.get(), fold, is_in_source, dtype,
                     result_.gguf_type ? "`gguf_type` BF16" : "`torch_dtype` bfloat16"});
    if (parts.back().fold) ++result_.folded;
    if (opened_.adapter->trainables->has(name)) ++result_.replaced;
    if (parts.back().is_rounded() || (result_.gguf_type == gguf::TensorType::kQ8_0 && shape.size() > 1))
      rounded_.insert(name);
  }

  // In which type a weight is computed that GGUF's type is made of; what only changes its type stays in its own.
  at::ScalarType gguf_dtype(const TensorSource& source, const std::string& name, bool is_folded) const {
    const TensorInfo& info = source.info(name);
    switch (gguf::stored_type(*result_.gguf_type, info.shape)) {
      case gguf::TensorType::kF16:
        return at::kHalf;
      case gguf::TensorType::kBF16:
        return at::kBFloat16;
      case gguf::TensorType::kQ8_0:
        if (!is_folded && (info.dtype == at::kHalf || info.dtype == at::kBFloat16)) return info.dtype;
        return at::kFloat;
      case gguf::TensorType::kF32:
        return at::kFloat;
    }
    HICI_ASSERT(false, "type ", static_cast<uint32_t>(*result_.gguf_type));
    return at::kFloat;
  }

  std::optional<Fold> fold_of(const std::string& name) const {
    if (opened_.folded && opened_.folded->has(name)) return opened_.folded->fold_of(name);
    if (!name.ends_with(".weight")) return std::nullopt;
    Fold fold{.module = name.substr(0, name.rfind('.')), .lora = {}};
    fold.lora = opened_.adapter->lora.module(fold.module);
    return fold.lora ? std::optional(fold) : std::nullopt;
  }

  std::vector<TensorToWrite> tensors(const std::vector<MergePart>& parts) {
    std::vector<TensorToWrite> out;
    for (const MergePart& part : parts) {
      const TensorInfo info{dtype_, part.source->info(part.name).shape};
      out.emplace_back(part.name, dtype_, info.shape,
                       [this, &part, bytes = info.num_bytes()] { return read_and_report(part, bytes); });
      total_bytes_ += out.back().num_bytes();
    }
    return out;
  }

  config::ModelConfig merged_config() const {
    config::ModelConfig config = loaded_.model->config();
    config.torch_dtype = stored_name_of(dtype_);
    config.source["dtype"] = config.torch_dtype;  // transformers 4.56 and later read this name
    config.source.erase("_name_or_path");
    if (!hici_parts_.empty()) put_remote_code(config, merged_settings());
    return config;
  }

  config::AdapterSettings merged_settings() const {
    return {.hici = loaded_.hici,
            .context_size = loaded_.context_size,
            .rope_factor = 1,  // config.json has it; a reader of this directory must not see it twice
            .library_version = kVersion};
  }

  void write_hici_files(const fs::path& folder, std::vector<TensorToWrite> modules) const {
    write_safetensors(folder / (std::string(kHiciModulesStem) + ".safetensors"), std::move(modules));
    write_file_atomically(folder / "hici_config.json", config::to_json(merged_settings()).dump(2) + "\n");
    write_remote_code(folder);
  }

  // A checkpoint's files that were hashed while they were checked are not read again for it.
  static json described(const fs::path& path, const std::vector<fs::path>& files, const FolderCheck& check) {
    json out = {{"path", path.string()}, {"files", json::array()}};
    for (const fs::path& file : files) {
      const std::optional<std::string> known = check.sha256_of(file);
      out["files"].push_back({{"name", file.filename().string()},
                              {"bytes", fs::file_size(file)},
                              {"sha256", known ? *known : sha256_hex_of_file(file)}});
    }
    return out;
  }

  json record() const {
    std::vector<fs::path> base_files = opened_.base.weight_files(), adapter_files = opened_.adapter->files;
    base_files.push_back(opened_.base.path() / "config.json");
    for (const char* name : {"adapter_config.json", "hici_config.json"})
      if (is_there(opened_.adapter->path / name)) adapter_files.push_back(opened_.adapter->path / name);
    json logits = json::array();
    for (const LogitsDifference& d : result_.check.logits)
      logits.push_back(
          {{"attention", d.attention}, {"max_abs", d.max_abs}, {"relative", d.relative}, {"bound", d.bound}});
    char now[32] = {};
    const std::time_t seconds = std::time(nullptr);
    std::tm parts{};
    std::strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", ::gmtime_r(&seconds, &parts));
    return {{"format", "hici-merge"},
            {"version", 1},
            {"library_version", kVersion},
            {"git_revision", kGitRevision},
            {"torch_version", kTorchVersion},
            {"time", now},
            {"base", described(opened_.base.path(), base_files, opened_.base.check())},
            {"adapter", described(opened_.adapter->path, adapter_files, *opened_.adapter->check)},
            {"options", request_.options},
            {"with_hici", !hici_parts_.empty()},
            {result_.gguf_type ? "gguf_type" : "torch_dtype",
             result_.gguf_type ? name_of(*result_.gguf_type) : stored_name_of(dtype_)},
            {"context_size", loaded_.context_size},
            {"rope_factor", loaded_.model->config().rope.context_factor},
            {"lora_scale", lora_scale()},
            {"vocab_size", result_.config.vocab_size},
            {"check", {{"tokens", result_.check.tokens}, {"is_text", result_.check.is_text}, {"logits", logits}}}};
  }

  // One number, or where modules differ one for each.
  json lora_scale() const {
    const config::LoraConfig& lora = opened_.adapter->lora;
    if (lora.is_uniform()) return lora.scale();
    json out = json::object();
    for (const std::string& module : *lora.modules) out[module] = lora.shape_of(module).scale;
    for (const Fold& fold : opened_.adapter->folds)
      if (fold.lora) out[fold.module] = fold.lora->scale;
    return out;
  }

  void report(const char* what, uint64_t total, uint64_t done) const {
    if (request_.progress) request_.progress(what, total, done);
  }

  const MergeRequest& request_;
  const OpenedModel& opened_;
  LoadedModel loaded_;
  at::ScalarType dtype_;
  std::vector<MergePart> model_parts_, hici_parts_;
  std::set<std::string> rounded_;
  uint64_t total_bytes_ = 0, done_bytes_ = 0;
  MergeResult result_;
};

}  // namespace

MergeResult merge_adapter(const MergeRequest& request, const OpenedModel& opened, const config::HiciConfig& hici) {
  return Merge(request, opened, hici).run();
}

}  // namespace hici::io
