// SPDX-License-Identifier: Apache-2.0
#include "hici/io/extract.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/config/parameter_names.h"
#include "hici/io/deepspeed/dump_folder.h"
#include "hici/io/directory_writer.h"
#include "hici/io/load_model.h"

#include <ATen/ops/from_blob.h>
#include <c10/core/ScalarType.h>

#include <algorithm>
#include <memory>
#include <set>

namespace hici::io {
namespace {

const std::vector<std::string>& parts_that_the_research_code_trains() {
  static const std::vector<std::string> parts{"embed", "norm", "local_constructor", "global_integrator"};
  return parts;
}

bool contains(const std::string& name, const std::string& part) {
  // "hici" is no part of a parameter's name; it stands for both modules.
  if (part == "hici") return config::is_hici_parameter(name);
  return name.find(part) != std::string::npos;
}

// Names of the whole parameters that are wanted, in the order of the source.
std::vector<std::string> chosen_names(const TensorSource& source, const std::vector<std::string>& parts,
                                      bool must_all_match) {
  std::set<std::string> unmatched(parts.begin(), parts.end());
  std::vector<std::string> out;
  for (const auto& [name, ignored] : source.tensors()) {
    bool is_wanted = parts.empty();
    for (const std::string& part : parts) {
      if (!contains(name, part)) continue;
      unmatched.erase(part);
      is_wanted = true;
    }
    if (is_wanted) out.push_back(name);
  }
  HICI_CHECK_USAGE(!must_all_match || unmatched.empty(), "`trainable_params`: '",
                   unmatched.empty() ? "" : *unmatched.begin(), "' is part of no parameter's name in ",
                   source.file_of(""), "; known parts are embed, norm, local_constructor, global_integrator, ...");
  return out;
}

// What is written, read when its turn comes; counts on the way.
class Reading {
 public:
  explicit Reading(const ExtractRequest& request) : request_(request) {}

  std::vector<TensorToWrite> tensors(const std::shared_ptr<const TensorSource>& source,
                                     const std::vector<std::string>& names) {
    std::vector<TensorToWrite> out;
    for (const std::string& name : names) {
      const TensorInfo& info = source->info(name);
      total_ += info.num_bytes();
      out.emplace_back(name, info.dtype, info.shape, [this, source, name] {
        at::Tensor tensor = source->read(name);
        check_finite(tensor, *source, name);
        count(tensor.nbytes());
        return tensor;
      });
      out.back().load_pieces = [this, source, name](const PieceSink& sink) { pass_on(*source, name, sink); };
    }
    return out;
  }
  uint64_t total_bytes() const { return total_; }

 private:
  void count(uint64_t bytes) {
    done_ += bytes;
    if (request_.progress) request_.progress(total_, done_);
  }
  void pass_on(const TensorSource& source, const std::string& name, const PieceSink& sink) {
    const at::ScalarType dtype = source.info(name).dtype;
    source.read_pieces(name, [&](const void* bytes, size_t num_bytes) {
      const auto elements = static_cast<int64_t>(num_bytes / c10::elementSize(dtype));
      check_finite(at::from_blob(const_cast<void*>(bytes), {elements}, at::TensorOptions(dtype)), source, name);
      sink(bytes, num_bytes);
      count(num_bytes);
    });
  }

  const ExtractRequest& request_;
  uint64_t total_ = 0, done_ = 0;
};

std::vector<std::string> all_names(const TensorSource& source) {
  std::vector<std::string> out;
  for (const auto& [name, ignored] : source.tensors()) out.push_back(name);
  return out;
}

bool is_source(const Adapter& adapter, const fs::path& file) {
  return std::find(adapter.files.begin(), adapter.files.end(), file) != adapter.files.end();
}

void check_is_new(const Adapter& adapter, const fs::path& directory, AdapterFormat format) {
  const char* ending = format == AdapterFormat::kBin ? ".bin" : ".safetensors";
  for (const char* stem : {"adapter_model", "trainable_params"}) {
    const fs::path file = directory / (std::string(stem) + ending);
    HICI_CHECK(!is_source(adapter, file), file.string(), ": is the form that is asked for already; use ",
               directory.string(), " as it is, or give `output_dir` or another `format`");
  }
}

// Files of a finished working folder go beside those of an adapter, one rename each.
void move_files(const fs::path& from, const fs::path& to) {
  for (const auto& entry : fs::directory_iterator(from)) check_replaceable(to / entry.path().filename());
  for (const auto& entry : fs::directory_iterator(from)) {
    const fs::path target = to / entry.path().filename();
    std::error_code error;
    fs::rename(entry.path(), target, error);
    HICI_CHECK(!error, target.string(), ": cannot be put in place: ", error.message());
  }
  sync_folder(to);
}

AdapterToWrite describe(const Adapter& adapter, const ExtractRequest& request, Reading& reading) {
  const bool is_default = request.trainable_parts.empty();
  std::vector<std::string> names =
      chosen_names(*adapter.trainables,
                   is_default && adapter.is_full_dump ? parts_that_the_research_code_trains() : request.trainable_parts,
                   !is_default);
  for (const auto& [name, ignored] : adapter.trainables->tensors())
    if (is_default && adapter.is_saved_whole(name) && std::find(names.begin(), names.end(), name) == names.end())
      names.push_back(name);
  AdapterToWrite out;
  out.lora = adapter.lora;
  out.base_model = adapter.base_model;
  out.settings_are_known = adapter.settings.has_value();
  if (adapter.settings) out.settings = *adapter.settings;
  out.identity = adapter.identity;
  out.format = request.format;
  out.lora_dropout = adapter.peft.lora_dropout.value_or(0);
  out.lora_tensors = reading.tensors(adapter.lora_tensors, all_names(*adapter.lora_tensors));
  // What adapter_config.json says is beside the factors stays there, or PEFT would miss it.
  std::vector<std::string> beside, others;
  for (const std::string& name : names)
    (!out.lora_tensors.empty() && adapter.is_saved_whole(name) ? beside : others).push_back(name);
  for (TensorToWrite& tensor : reading.tensors(adapter.trainables, beside))
    out.lora_tensors.push_back(std::move(tensor));
  out.trainables = reading.tensors(adapter.trainables, others);
  return out;
}

}  // namespace

ExtractResult extract_adapter(const ExtractRequest& request) {
  const fs::path source = resolve_run_directory(request.checkpoint);
  const Adapter adapter = read_adapter(source, {.prefer_full_dump = true, .lora_alpha = request.lora_alpha});
  HICI_CHECK(!adapter.lora_tensors->tensors().empty() || is_there(source / "trainable_params.safetensors") ||
                 is_there(source / "trainable_params.bin"),
             source.string(), ": has no LoRA factors, so all its parameters were trained; ",
             trace_of_deepspeed(source).empty() ? "use it as `base_model`"
                                                : "its zero_to_fp32.py makes a model for `base_model` of it");
  ExtractResult result;
  result.directory = request.output.empty() ? source : request.output;
  HICI_CHECK(!request.output.empty() || !adapter.check->has_manifest(), source.string(),
             ": has a manifest.json that lists ", "its files, so that others are no part of it; give `output_dir`");
  if (request.output.empty()) check_is_new(adapter, source, request.format);
  if (!request.output.empty()) check_new_folder(request.output);

  Reading reading(request);
  AdapterToWrite to_write = describe(adapter, request, reading);
  result.lora = adapter.lora;
  result.lora_tensors = to_write.lora_tensors.size();
  result.trainables = to_write.trainables.size();
  result.bytes = reading.total_bytes();
  result.has_settings = adapter.settings.has_value();
  for (const TensorToWrite& tensor : to_write.trainables)
    result.has_hici_modules = result.has_hici_modules || config::is_hici_parameter(tensor.name);

  DirectoryWriter writer(request.output.empty() ? source / "hici-extract" : request.output, adapter_bytes(to_write));
  write_adapter_files(writer.folder(), std::move(to_write));
  adapter.check->finish();
  // What PEFT or the research code wrote says more than the keys that we need. In place it stays as it is.
  const fs::path config = source / "adapter_config.json";
  if (request.output.empty() && is_there(config)) fs::remove(writer.folder() / config.filename());
  if (!request.output.empty()) writer.copy_if_there(config);
  if (request.output.empty()) {
    move_files(writer.folder(), source);
  } else {
    writer.publish();
  }
  return result;
}

}  // namespace hici::io
