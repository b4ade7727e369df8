// SPDX-License-Identifier: Apache-2.0
#include "hici/io/deepspeed/dump_folder.h"

#include "hici/base/error.h"
#include "hici/base/file.h"
#include "hici/base/is_there.h"
#include "hici/base/joined.h"
#include "hici/base/json.h"
#include "hici/base/parse_number.h"

#include <algorithm>
#include <map>
#include <string_view>
#include <system_error>
#include <tuple>

namespace hici::io {
namespace {

constexpr size_t kMaxLatestBytes = 4096;
constexpr std::string_view kStepPrefix = "global_step";

bool take(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

std::optional<int64_t> take_number(std::string_view& text) {
  const size_t length = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::optional<int64_t> number = parse_number<int64_t>(std::string(text.substr(0, length)));
  text.remove_prefix(length);
  return number;
}

// "global_step12_universal": 12, true.
struct StepName {
  int64_t step = 0;
  bool is_universal = false;
  std::string name;
};

std::optional<StepName> step_name(const std::string& name) {
  std::string_view rest = name;
  if (!take(rest, kStepPrefix)) return std::nullopt;
  const std::optional<int64_t> step = take_number(rest);
  return StepName{step.value_or(0), rest.find("universal") != std::string_view::npos, name};
}

std::vector<StepName> steps_in(const fs::path& checkpoint) {
  std::vector<StepName> out;
  for (const auto& entry : fs::directory_iterator(checkpoint))
    if (entry.is_directory())
      if (std::optional<StepName> step = step_name(entry.path().filename().string())) out.push_back(std::move(*step));
  std::sort(out.begin(), out.end(),
            [](const StepName& a, const StepName& b) { return std::tie(a.step, a.name) < std::tie(b.step, b.name); });
  return out;
}

std::string listed(const std::vector<StepName>& steps) {
  std::vector<std::string> names;
  for (const StepName& step : steps) names.push_back(printable(step.name, 60));
  return joined(names);
}

// What a file such as `latest` says. Nothing where it is not DeepSpeed's: other programs make a link or a folder of
// that name, or write something else into it.
std::optional<std::string> named_in(const fs::path& file) {
  if (!fs::is_regular_file(file) || fs::file_size(file) > kMaxLatestBytes) return std::nullopt;
  std::string name = read_file(file, kMaxLatestBytes, Links::kCompanion);
  name.erase(std::min(name.find_last_not_of(" \t\r\n") + 1, name.size()));
  if (!is_plain_name(name)) return std::nullopt;
  return step_name(name) || holds_states(file.parent_path() / name) ? std::optional(name) : std::nullopt;
}

// What a file of a dump is, by its name.
struct DumpFileName {
  enum class Kind { kOther, kModel, kModelOfRank, kOptimizerOfRank, kPipeline, kExpert } kind = Kind::kOther;
  std::string type = {};  // "bf16_", "fp16_" or ""
  int64_t rank = 0;
  int64_t tensor_rank = 0;
};

DumpFileName parse_dump_file(const std::string& name) {
  using Kind = DumpFileName::Kind;
  DumpFileName out;
  std::string_view rest = name;
  const bool is_states = rest.ends_with("_states.pt");
  if (rest.starts_with("layer_") && rest.ends_with("model_states.pt"))
    return {.kind = rest.find("_expert_") != std::string_view::npos ? Kind::kExpert : Kind::kPipeline};
  if (rest.starts_with("expp_rank_") && is_states) return {.kind = Kind::kExpert};
  for (const char* type : {"bf16_", "fp16_"})
    if (take(rest, type)) out.type = type;
  const bool has_rank = take(rest, "zero_pp_rank_");
  const std::optional<int64_t> rank = has_rank ? take_number(rest) : std::nullopt;
  if ((has_rank && (!rank || !take(rest, "_"))) || !take(rest, "mp_rank_")) return {};
  const std::optional<int64_t> tensor_rank = take_number(rest);
  if (!tensor_rank) return {};
  out.rank = rank.value_or(0);
  out.tensor_rank = *tensor_rank;
  if (rest == "_optim_states.pt" && has_rank) out.kind = Kind::kOptimizerOfRank;
  if (rest == "_model_states.pt") out.kind = has_rank ? Kind::kModelOfRank : Kind::kModel;
  return out;
}

using FilesByRank = std::map<int64_t, fs::path>;

// 0, 1, ... without a hole.
std::vector<fs::path> in_order(const FilesByRank& files, const fs::path& folder) {
  std::vector<fs::path> out;
  for (const auto& [rank, file] : files) {
    const auto expected = static_cast<int64_t>(out.size());
    HICI_CHECK(rank == expected, folder.string(), ": has ", printable(file.filename().string()),
               " and no file of rank ", expected, "; fetch the files of all ranks");
    out.push_back(file);
  }
  return out;
}

class Lister {
 public:
  explicit Lister(const fs::path& folder) : folder_(folder) {}

  DumpFiles run() {
    for (const auto& entry : fs::directory_iterator(folder_)) add(entry.path());
    DumpFiles out;
    out.folder = folder_;
    out.optimizer_states = in_order(optimizer_, folder_);
    out.is_universal = fs::is_directory(folder_ / "zero") && optimizer_.empty();
    HICI_CHECK(model_.empty() || model_of_rank_.empty(), folder_.string(), ": has ", name_of_first(model_), " and ",
               name_of_first(model_of_rank_), ", which are of two runs; remove those of one");
    out.is_partitioned = model_.empty();
    out.model_states = in_order(out.is_partitioned ? model_of_rank_ : model_, folder_);
    HICI_CHECK(!out.model_states.empty(), folder_.string(),
               ": has no ..._model_states.pt; fetch the files of all ranks");
    return out;
  }

 private:
  void add(const fs::path& file) {
    const std::string name = file.filename().string();
    const DumpFileName parsed = parse_dump_file(name);
    refuse_what_is_not_read(parsed, file);
    if (parsed.kind == DumpFileName::Kind::kModel) insert(model_, parsed, file);
    if (parsed.kind == DumpFileName::Kind::kModelOfRank) insert(model_of_rank_, parsed, file);
    if (parsed.kind == DumpFileName::Kind::kOptimizerOfRank) insert(optimizer_, parsed, file);
  }

  static void refuse_what_is_not_read(const DumpFileName& parsed, const fs::path& file) {
    const char* what = parsed.kind == DumpFileName::Kind::kExpert     ? "of a mixture of experts"
                       : parsed.kind == DumpFileName::Kind::kPipeline ? "of a stage of a pipeline"
                       : parsed.tensor_rank > 0                       ? "of a run with tensor parallelism"
                                                                      : nullptr;
    HICI_CHECK(what == nullptr, file.string(), ": is ", what == nullptr ? "" : what,
               ", which is not read; put the model together with the program that trained it");
  }

  void insert(FilesByRank& files, const DumpFileName& parsed, const fs::path& file) {
    const auto [place, is_new] = files.emplace(parsed.rank, file);
    HICI_CHECK(is_new, folder_.string(), ": has ", printable(place->second.filename().string()), " and ",
               printable(file.filename().string()), ", which are of two runs; remove those of one");
    if (parsed.kind != DumpFileName::Kind::kOptimizerOfRank) return;
    if (files.size() == 1) type_ = parsed.type;
    HICI_CHECK(type_ == parsed.type, folder_.string(), ": has ", name_of_first(files), " and ",
               printable(file.filename().string()), ", which are of two runs; remove those of one");
  }

  static std::string name_of_first(const FilesByRank& files) {
    return files.empty() ? "" : printable(files.begin()->second.filename().string());
  }

  const fs::path& folder_;
  FilesByRank model_, model_of_rank_, optimizer_;
  std::string type_;  // of optimizer_
};

}  // namespace

bool holds_states(const fs::path& folder) {
  std::error_code no_access;  // then nothing is read of it
  for (fs::directory_iterator at(folder, no_access), end; !no_access && at != end; at.increment(no_access))
    if (at->path().filename().string().ends_with("_states.pt")) return true;
  return false;
}

std::string trace_of_deepspeed(const fs::path& checkpoint) {
  if (!fs::is_directory(checkpoint)) return "";
  if (const std::vector<StepName> steps = steps_in(checkpoint); !steps.empty()) return steps.back().name;
  for (const char* file : {"latest", "latest_universal"})
    if (const std::optional<std::string> name = named_in(checkpoint / file)) return *name;
  return is_there(checkpoint / "zero_to_fp32.py") ? "zero_to_fp32.py" : "";
}

std::optional<fs::path> find_dump_folder(const fs::path& checkpoint) {
  if (!fs::is_directory(checkpoint)) return std::nullopt;
  std::vector<StepName> steps = steps_in(checkpoint);
  for (const char* file : {"latest", "latest_universal"}) {
    const std::optional<std::string> name = named_in(checkpoint / file);
    if (!name) continue;
    if (fs::is_directory(checkpoint / *name)) return checkpoint / *name;
    HICI_CHECK(steps.empty(), (checkpoint / file).string(), ": names ", printable(*name), ", and here is ",
               listed(steps), "; fetch that folder, or write the name of the one that is meant into ", file);
  }
  const bool has_plain = std::any_of(steps.begin(), steps.end(), [](const StepName& s) { return !s.is_universal; });
  if (has_plain) std::erase_if(steps, [](const StepName& step) { return step.is_universal; });
  HICI_CHECK(steps.size() <= 1, checkpoint.string(), ": holds ", listed(steps),
             " and no file `latest` that says which ", "is meant; write the name of one into ",
             (checkpoint / "latest").string());
  if (steps.empty()) return std::nullopt;
  return checkpoint / steps.front().name;
}

DumpFiles list_dump(const fs::path& folder) { return Lister(folder).run(); }

}  // namespace hici::io
