// SPDX-License-Identifier: Apache-2.0
#include "hici/io/deepspeed/beside_adapter.h"

#include "hici/base/error.h"
#include "hici/base/human.h"
#include "hici/base/json.h"
#include "hici/base/log.h"
#include "hici/config/parameter_names.h"
#include "hici/io/adapter.h"
#include "hici/io/deepspeed/dump_folder.h"

#include <system_error>

namespace hici::io {
namespace {

namespace fs = std::filesystem;

// Nothing, and a line, where the training checkpoint does not tell.
std::vector<std::string> trained_names_if_known(const fs::path& folder, const fs::path& dump) {
  std::string reason = "it does not say what was trained";
  try {
    if (const auto names = trained_names(dump)) return *names;
  } catch (const Error& problem) {
    reason = problem.what();
  }
  log_warning(folder.string(), ": the training checkpoint beside the adapter cannot be looked into (", reason,
              "); if embedding, norms or HiCI modules were trained too, they are missing here");
  return {};
}

bool holds_shards_of_fsdp(const fs::path& folder) {
  std::error_code no_access;  // then it is no folder that we read anyway
  return fs::exists(folder / "__0_0.distcp", no_access) ||
         (fs::exists(folder / ".metadata", no_access) && folder.filename().string().find("fsdp") != std::string::npos);
}

fs::path folder_with_shards_of_fsdp(const fs::path& folder) {
  if (holds_shards_of_fsdp(folder)) return folder;
  for (const auto& entry : fs::directory_iterator(folder))
    if (!entry.path().filename().string().starts_with("optimizer") && holds_shards_of_fsdp(entry.path()))
      return entry.path();
  return {};
}

}  // namespace

std::optional<MissingParts> missing_in_adapter(const fs::path& folder, const TensorSource& lora,
                                               const TensorSource& trainables, bool has_lora_file) {
  const std::optional<fs::path> dump = find_dump_folder(folder);
  if (!dump) {
    const std::string trace = trace_of_deepspeed(folder);
    if (const fs::path shards = folder_with_shards_of_fsdp(folder); !shards.empty())
      log_warning(folder.string(), ": the shards of FSDP beside the adapter (", shards.filename().string(),
                  ") are not looked into; if embedding, norms or HiCI modules were trained too, they are missing here");
    if (!trace.empty())
      log_warning(
          folder.string(), ": was trained with DeepSpeed, and the training checkpoint (",
          trace == "zero_to_fp32.py" ? "global_step..." : printable(trace),
          ") is not here; if embedding, norms or HiCI modules were trained beside the factors, they are missing");
    return std::nullopt;
  }
  MissingParts out;
  for (const std::string& name : trained_names_if_known(folder, *dump)) {
    const std::string plain = plain_tensor_name(name);
    const bool is_factor = plain.find(".lora_") != std::string::npos;
    if (plain.empty() || is_factor == has_lora_file || lora.has(plain) || trainables.has(plain)) continue;
    out.names.emplace_back(plain, name);
  }
  if (out.names.empty()) return std::nullopt;
  out.dump = open_training_dump(*dump);
  log_info(folder.string(), ": ", counted(static_cast<int64_t>(out.names.size()), "trained parameter"), " that ",
           has_lora_file ? "adapter_model" : "trainable_params", " does not hold, such as ",
           printable(out.names.front().first), ": read from ", dump->filename().string());
  return out;
}

std::optional<TrainingDump> find_training_dump(const fs::path& folder, bool may_be_other) {
  const std::optional<fs::path> dump = find_dump_folder(folder);
  if (!dump) return std::nullopt;
  if (may_be_other) {
    try {
      if (!trained_names(*dump)) return std::nullopt;
    } catch (const Error&) {
      return std::nullopt;
    }
  }
  return open_training_dump(*dump);
}

void refuse_other_checkpoints(const fs::path& folder) {
  const fs::path shards = folder_with_shards_of_fsdp(folder);
  const std::string around = (shards == folder ? folder_of(without_last_slash(folder)) : folder).string();
  HICI_CHECK(shards.empty(), shards.string(), ": holds shards of FSDP (*.distcp), which are not read; run 'accelerate ",
             "merge-weights ", shards.string(), " ", around,
             "', which makes a full dump (model.safetensors), then hici extract `checkpoint_path` ", around);
  HICI_CHECK(!holds_states(folder), folder.string(), ": is the inside of a training checkpoint of DeepSpeed; give ",
             "the folder around it, ", folder_of(without_last_slash(folder)).string());
  const std::string trace = trace_of_deepspeed(folder);
  HICI_CHECK(trace.empty(), folder.string(), ": was written by DeepSpeed, and its training checkpoint (",
             trace == "zero_to_fp32.py" ? "global_step..." : printable(trace), ") is not in it; fetch that folder too");
}

}  // namespace hici::io
