// SPDX-License-Identifier: Apache-2.0
#include "hici/io/inspect.h"

#include "hici/base/error.h"
#include "hici/io/adapter_check.h"
#include "hici/base/file.h"
#include "hici/base/hub_id.h"
#include "hici/base/human.h"
#include "hici/base/is_there.h"
#include "hici/base/json.h"
#include "hici/base/temporary.h"
#include "hici/config/deciding_values.h"
#include "hici/config/parameter_names.h"
#include "hici/config/rope.h"
#include "hici/data/token_file.h"
#include "hici/io/adapter.h"
#include "hici/io/checkpoint/manifest.h"
#include "hici/io/checkpoint/model_identity.h"
#include "hici/io/checkpoint/store.h"
#include "hici/io/checkpoint/training_state.h"
#include "hici/io/deepspeed/beside_adapter.h"
#include "hici/io/known_files.h"
#include "hici/io/model_directory.h"
#include "hici/io/random_model.h"
#include "hici/io/weight_file.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

namespace hici::io {
namespace {

using nlohmann::json;

constexpr const char* kNotThere = ": is not there; give a model directory, an adapter, a checkpoint or a file";
constexpr const char* kNothingHere =
    ": holds no config.json, no adapter, no checkpoint and no tokenizer.json; nothing here that hici reads";
constexpr const char* kTokenizerName = "tokenizer.json";

// Runs a check; what it has to say becomes a line of the report instead of the end of it.
void collect(json& problems, const std::function<void()>& check) {
  try {
    check();
  } catch (const Error& e) {
    problems.push_back(e.what());
  }
}

const char* group_of(const std::string& name) {
  const auto has = [&](const char* part) { return name.find(part) != std::string::npos; };
  if (config::is_lora_parameter(name)) return config::is_hici_parameter(name) ? "lora on hici" : "lora";
  if (has(".local_constructor.")) return "local_constructor";
  if (has(".global_integrator.")) return "global_integrator";
  if (has("embed_tokens")) return "embedding";
  if (has("lm_head")) return "lm_head";
  if (has("norm")) return "norm";
  if (has(".self_attn.")) return "attention";
  if (has(".mlp.")) return "mlp";
  return "other";
}

// "model.layers.{}.mlp.up_proj.weight": one line for all layers.
std::string pattern_of(const std::string& name) {
  std::string out;
  for (size_t at = 0; at < name.size();) {
    const size_t end = std::min(name.find('.', at), name.size());
    const std::string part = name.substr(at, end - at);
    const bool is_index =
        !part.empty() && std::all_of(part.begin(), part.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
    const bool is_layer = is_index && out.size() >= 7 && out.compare(out.size() - 7, 7, "layers.") == 0;
    out += (is_layer ? "{}" : part) + (end < name.size() ? "." : "");
    at = end + 1;
  }
  return out;
}

// Tensors of one kind: by pattern, shape and type, with their number.
json list_of_tensors(const TensorSource& source, bool every_one) {
  std::map<std::string, json> kinds;
  for (const auto& [name, info] : source.tensors()) {
    const std::string shown = printable(every_one ? name : pattern_of(name), 200);
    json& entry = kinds[shown + shown_shape(info.shape) + shown_dtype(info.dtype)];
    if (entry.is_null())
      entry = {{"name", shown}, {"shape", info.shape}, {"dtype", shown_dtype(info.dtype)}, {"count", 0}};
    entry["count"] = entry["count"].get<int64_t>() + 1;
  }
  json out = json::array();
  for (auto& [ignored, entry] : kinds) out.push_back(std::move(entry));
  return out;
}

void add_counts(json& report, const TensorSource& source) {
  json& parameters = report["parameters"];
  if (parameters.is_null()) parameters = {{"total", 0}, {"groups", json::object()}, {"types", json::object()}};
  const auto add = [](json& object, const std::string& key, int64_t count) {
    object[key] = object.value(key, int64_t{0}) + count;
  };
  for (const auto& [name, info] : source.tensors()) {
    add(parameters, "total", info.num_elements());
    add(parameters["groups"], group_of(name), info.num_elements());
    add(parameters["types"], shown_dtype(info.dtype), info.num_elements());
  }
}

void add_tensors(json& report, const TensorSource& source, bool every_one) {
  add_counts(report, source);
  for (json& entry : list_of_tensors(source, every_one)) report["tensors"].push_back(std::move(entry));
}

void add_files(json& report, const std::vector<fs::path>& files) {
  for (const fs::path& file : files)
    report["weights"].push_back({{"file", file.filename().string()}, {"bytes", fs::file_size(file)}});
}

json rope_json(const config::ModelConfig& config) {
  const config::RopeConfig& rope = config.rope;
  json out = {{"type", name_of(rope.type)}, {"theta", rope.theta}, {"reach", config::rope_reach(config)}};
  if (rope.type != config::RopeType::kDefault) out["factor"] = rope.factor;
  if (rope.original_max_position_embeddings > 0)
    out["original_max_position_embeddings"] = rope.original_max_position_embeddings;
  return out;
}

json config_json(const config::ModelConfig& c) {
  return {{"family", name_of(c.family)},
          {"vocab_size", c.vocab_size},
          {"hidden_size", c.hidden_size},
          {"intermediate_size", c.intermediate_size},
          {"num_hidden_layers", c.num_hidden_layers},
          {"num_attention_heads", c.num_attention_heads},
          {"num_key_value_heads", c.num_key_value_heads},
          {"head_dim", c.head_dim},
          {"max_position_embeddings", c.max_position_embeddings},
          {"tie_word_embeddings", c.tie_word_embeddings}};
}

// HiCI modules inside a whole model are expected where its own tensors show them.
void check_model(const ModelDirectory& model) {
  std::vector<ExpectedTensor> expected = expected_tensors(model.config());
  for (const auto& [name, info] : model.weights().tensors())
    if (config::is_hici_parameter(name)) expected.push_back({name, info.shape});
  model.check_against(expected);
}

void inspect_model(const InspectRequest& request, json& report) {
  report["kind"] = "model directory";
  const ModelDirectory model = ModelDirectory::open(request.path);
  report["config"] = config_json(model.config());
  report["rope"] = rope_json(model.config());
  add_files(report, model.weight_files());
  add_tensors(report, model.weights(), request.list_tensors);
  collect(report["problems"], [&] { check_model(model); });
  collect(report["problems"], [&] {
    const auto hici = hici_config_of(model.weights());
    if (hici)
      report["hici"] = {{"num_local_slots", hici->num_local_slots},
                        {"global_slots", hici->global_slots},
                        {"bottleneck_dim", hici->bottleneck_dim}};
  });
}

void add_hici(const Adapter& adapter, json& report) {
  const auto hici = adapter.hici_config();
  if (!hici) return;
  json shown = config::to_json(
      config::AdapterSettings{.hici = *hici, .context_size = 0, .rope_factor = 1, .library_version = ""});
  for (const char* key : {"library", "library_version", "rope_factor"}) shown.erase(key);
  if (!adapter.settings) {  // no tensor shows these
    for (const char* key : {"num_segments", "num_heads", "causal_mode"}) shown.erase(key);
  }
  report["hici"] = shown;
}

// Of those tensors alone that the adapter's record knows, read one after the other.
void compare_weights(const ModelIdentity& identity, const ModelDirectory& base, json& report) {
  TensorContents found;
  for (const auto& [name, ignored] : identity.base) {
    if (!base.weights().has(name)) continue;
    base.weights().read(name);
    found.emplace(name, base.weights().content_of(name));
  }
  base.finish_checks();
  const std::string difference = difference_of(identity.base, found);
  report["base"]["weights"] = found.empty()        ? "not known"
                              : difference.empty() ? "equal in " + counted(static_cast<int64_t>(found.size()), "tensor")
                                                   : "another base: " + difference;
  HICI_CHECK(difference.empty(), report["path"].get<std::string>(), ": was trained on another base than ",
             base.path().string(), " (", difference, ")");
}

void compare_configs(const ModelIdentity& identity, const fs::path& base, json& report) {
  const std::string difference =
      shown_config_differences(identity.config, config::deciding_values(config::read_model_config(base)));
  report["base"]["config"] = identity.config.empty() ? "not known"
                             : difference.empty()    ? "equal"
                                                     : "another: " + difference;
  HICI_CHECK(difference.empty(), report["path"].get<std::string>(),
             ": was trained with another config.json than that of ", base.string(), " (", difference, ")");
}

void compare_tokenizers(const ModelIdentity& identity, const fs::path& base, json& report) {
  const std::string &theirs = identity.tokenizer_sha256, ours = tokenizer_sha256_in(base);
  const bool is_known = !theirs.empty() && !ours.empty();
  report["base"]["tokenizer"] = !is_known ? "not known" : theirs == ours ? "equal" : "another tokenizer";
  HICI_CHECK(!is_known || theirs == ours, report["path"].get<std::string>(), ": was trained with another tokenizer (",
             shown_tokenizer(theirs), ") than ", base.string(), " has (", shown_tokenizer(ours), ")");
}

// Sizes and, where the adapter says what it was trained on, contents.
void compare_with_base(const Adapter& adapter, const fs::path& base, json& report) {
  json& problems = report["problems"];
  collect(problems, [&] { check_adapter(adapter, config::read_model_config(base)); });
  if (!adapter.identity) {
    report["base"] = {{"weights", detail::concat("not known, there is no ", kIdentityName)}};
    return;
  }
  collect(problems, [&] { compare_weights(*adapter.identity, ModelDirectory::open(base), report); });
  collect(problems, [&] { compare_configs(*adapter.identity, base, report); });
  collect(problems, [&] { compare_tokenizers(*adapter.identity, base, report); });
}

// With "rank 8 scale 2: 6 layers" for each kind where modules differ.
json lora_json(const Adapter& adapter) {
  const config::LoraConfig& lora = adapter.lora;
  json out = {{"r", lora.rank}, {"lora_alpha", lora.alpha}, {"scale", lora.scale()}, {"targets", lora.targets}};
  if (lora.use_rslora) out["use_rslora"] = true;
  std::map<std::string, int64_t> kinds;
  const auto add = [&](const config::LoraModule& module) {
    ++kinds[detail::concat("rank ", module.rank, " scale ", shortest_number(module.scale))];
  };
  for (const std::string& module : *lora.modules) add(lora.shape_of(module));
  for (const Fold& fold : adapter.folds) {
    if (fold.lora) add(*fold.lora);
    if (fold.has_magnitude) out["use_dora"] = true;
    if (!fold.rows.empty()) out["tokens of " + fold.module] = fold.rows.size();
    if (fold.lora && !fold.has_magnitude) out["targets"].push_back(fold.module);
  }
  for (const auto& [kind, count] : kinds)
    if (kinds.size() > 1) out["modules"].push_back(kind + ": " + counted(count, "layer"));
  if (!lora.with_bias.empty()) out["lora_bias"] = true;
  return out;
}

void inspect_adapter(const InspectRequest& request, json& report) {
  report["kind"] = "adapter";
  const Adapter adapter = read_adapter(request.path);
  if (!adapter.lora_tensors->tensors().empty()) report["lora"] = lora_json(adapter);
  if (!adapter.base_model.empty()) report["base_model"] = printable(adapter.base_model, 400);
  if (adapter.settings)
    report["trained"] = {{"context_size", adapter.settings->context_size},
                         {"rope_factor", adapter.settings->rope_factor}};
  collect(report["problems"], [&] { add_hici(adapter, report); });
  add_files(report, adapter.files);
  add_tensors(report, *adapter.lora_tensors, request.list_tensors);
  add_tensors(report, *adapter.trainables, request.list_tensors);
  if (!request.base_model.empty()) compare_with_base(adapter, request.base_model, report);
}

void add_checkpoint(const fs::path& path, json& report) {
  report["kind"] = "checkpoint (" + report["kind"].get<std::string>() + ")";
  collect(report["problems"], [&] { report["checkpoint"]["step"] = verify_checkpoint(path).step; });
  collect(report["problems"], [&] {
    const TrainingState state = read_training_state(path);
    report["checkpoint"]["tokens"] = state.tokens;
    report["checkpoint"]["sequence_length"] = state.sequence_length;
    report["checkpoint"]["global_batch"] = state.batch.size();
    report["checkpoint"]["data"] = printable(state.data.path, 400);
  });
}

// By their steps; what is called otherwise comes last.
std::pair<int64_t, std::string> order_of_checkpoint(const std::string& name) {
  return {checkpoint_step_of_name(name).value_or(std::numeric_limits<int64_t>::max()), name};
}

void inspect_run(const fs::path& path, json& report) {
  report["kind"] = "run directory";
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(path))
    if (entry.is_directory() && is_there(entry.path() / kManifestName))
      names.push_back(entry.path().filename().string());
  std::sort(names.begin(), names.end(),
            [](const auto& a, const auto& b) { return order_of_checkpoint(a) < order_of_checkpoint(b); });
  report["checkpoints"] = names;
  for (const json& name : report["checkpoints"])
    collect(report["problems"], [&] { verify_checkpoint(path / name.get<std::string>()); });
}

bool has_checkpoints(const fs::path& path) {
  for (const auto& entry : fs::directory_iterator(path))
    if (entry.is_directory() && is_there(entry.path() / kManifestName)) return true;
  return false;
}

void inspect_tokenizer(const fs::path& folder, json& report) {
  report["kind"] = "tokenizer";
  const TokenizerFacts facts = read_tokenizer_facts(folder);
  json& shown = report["tokenizer"] = {{"vocab_size", facts.vocab_size}, {"sha256", tokenizer_sha256_in(folder)}};
  if (facts.bos_token_id) shown["bos_token_id"] = *facts.bos_token_id;
  if (facts.eos_token_id) shown["eos_token_id"] = *facts.eos_token_id;
  for (const std::string& name : companion_files())
    if (is_there(folder / name)) shown["files"].push_back(name);
}

void add_leftovers(const fs::path& path, json& report) {
  std::vector<Leftover> found = leftovers_of(without_last_slash(path));
  if (fs::is_directory(path)) {
    for (Leftover& leftover : leftovers_of_run(path)) found.push_back(std::move(leftover));
  }
  for (const Leftover& leftover : found)
    report["leftovers"].push_back({{"path", printable(leftover.path.string(), 400)}, {"in_use", leftover.is_in_use}});
}

void inspect_directory(const InspectRequest& request, json& report) {
  const fs::path& path = request.path;
  const bool is_checkpoint = is_there(path / kManifestName);
  if (is_adapter_directory(path)) {
    inspect_adapter(request, report);
  } else if (is_there(path / "config.json")) {
    inspect_model(request, report);
  } else if (has_checkpoints(path)) {
    return inspect_run(path, report);
  } else if (!is_checkpoint && is_there(path / kTokenizerName)) {
    inspect_tokenizer(path, report);
  } else if (is_checkpoint || !report.contains("leftovers")) {
    if (!is_checkpoint) refuse_other_checkpoints(path);
    HICI_CHECK(is_checkpoint, path.string(), kNothingHere);
    report["kind"] = "training state";
  } else {
    report["kind"] = "directory";
    report["problems"].push_back(path.string() + kNothingHere);
  }
  if (is_checkpoint) add_checkpoint(path, report);
}

// A .bin is weights when it starts as a zip or a pickle does, and tokens otherwise.
bool is_weight_file(const fs::path& path) {
  const std::string extension = path.extension().string();
  if (extension == ".safetensors" || extension == ".pt" || extension == ".pth") return true;
  if (extension != ".bin" || is_there(data::sidecar_path(path))) return false;
  char start[4] = {};
  std::ifstream(path, std::ios::binary).read(start, sizeof start);
  return (start[0] == 'P' && start[1] == 'K' && start[2] == 3 && start[3] == 4) ||
         (start[0] == '\x80' && start[1] == 2);
}

void inspect_tokens(const InspectRequest& request, json& report) {
  report["kind"] = "token file";
  const data::TokenFile tokens =
      data::TokenFile::open(request.path, {.vocab_size = request.vocab_size, .type = request.token_type});
  report["tokens"] = {{"type", name_of(tokens.type())}, {"count", tokens.size()}, {"largest_id", tokens.largest_id()}};
  if (!tokens.info()) {
    report["problems"].push_back(request.path.string() + ": has no " +
                                 data::sidecar_path(request.path).filename().string() +
                                 ", so type and tokenizer are a guess; make token files with hici tokenize");
    return;
  }
  report["tokens"]["documents"] = tokens.info()->num_documents;
  report["tokens"]["vocab_size"] = tokens.info()->vocab_size;
  report["tokens"]["tokenizer"] = printable(tokens.info()->tokenizer_path, 400);
  collect(report["problems"], [&] { report["tokens"]["sha256"] = tokens.sha256(); });
}

// No header tells ids from other bytes: without a sidecar only who asks can say that a file holds them.
void inspect_unknown_file(const fs::path& path, json& report) {
  const uint64_t bytes = MappedFile(path).size();
  HICI_CHECK(
      path.extension() == ".bin" && bytes > 0 && bytes % 2 == 0, path.string(),
      ": is no file that hici knows (.safetensors, .bin, .pt, .pth, tokenizer.json, or token ids with the JSON of "
      "hici tokenize beside them); give `token_type` if it holds token ids");
  report["kind"] = "perhaps a token file";
  report["problems"].push_back(
      detail::concat(path.string(), ": ", bytes, " bytes, which may be ", bytes / 2, " token ids of uint16",
                     bytes % 4 == 0 ? detail::concat(" or ", bytes / 4, " of uint32") : "", ", and no ",
                     data::sidecar_path(path).filename().string(), " says so; give `token_type` if they are"));
}

bool is_said_to_be_tokens(const InspectRequest& request) {
  return request.token_type || request.vocab_size > 0 || is_there(data::sidecar_path(request.path));
}

void inspect_file(const InspectRequest& request, json& report) {
  const fs::path& path = request.path;
  if (is_weight_file(path)) {
    report["kind"] = "file of weights";
    add_files(report, {path});
    add_tensors(report, *open_weight_file(path, Links::kAny), request.list_tensors);
  } else if (path.filename() == kTokenizerName) {
    inspect_tokenizer(folder_of(path), report);
  } else if (is_said_to_be_tokens(request)) {
    inspect_tokens(request, report);
  } else {
    inspect_unknown_file(path, report);
  }
}

}  // namespace

json inspect_path(const InspectRequest& request) {
  json report = {{"path", request.path.string()}, {"problems", json::array()}};
  add_leftovers(request.path, report);
  const bool is_found = fs::exists(request.path);
  HICI_CHECK(is_found || report.contains("leftovers"), request.path.string(), kNotThere,
             hub_hint(request.path, HubKind::kModel));
  if (!is_found) {
    report["kind"] = "not there";
    report["problems"].push_back(request.path.string() + kNotThere);
  } else if (fs::is_directory(request.path)) {
    inspect_directory(request, report);
  } else {
    inspect_file(request, report);
  }
  if (!request.base_model.empty() && report["kind"].get<std::string>().find("adapter") == std::string::npos)
    report["problems"].push_back("`base_model`: " + request.path.string() + " is no adapter (" +
                                 report["kind"].get<std::string>() + "), and nothing else is compared; leave it out");
  return report;
}

}  // namespace hici::io
