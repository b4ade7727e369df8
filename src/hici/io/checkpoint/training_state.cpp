// SPDX-License-Identifier: Apache-2.0
#include "hici/io/checkpoint/training_state.h"

#include "hici/base/error.h"
#include "hici/base/field_text.h"
#include "hici/base/file.h"
#include "hici/base/human.h"
#include "hici/base/joined.h"
#include "hici/base/json.h"
#include "hici/base/log.h"
#include "hici/config/bounds.h"

#include <nlohmann/json.hpp>

#include <charconv>
#include <limits>
#include <system_error>
#include <vector>

namespace hici::io {
namespace {

constexpr size_t kMaxStateBytes = size_t{64} << 20;
constexpr int64_t kVersion = 1;
constexpr int64_t kMaxInteger = std::numeric_limits<int64_t>::max();
constexpr int64_t kMaxTokens = int64_t{1} << 62;  // what a run still adds fits
constexpr int64_t kMaxBatch = int64_t{1} << 20;   // three of these multiplied fit in 64 bits

uint64_t parse_seed(const std::string& digits, const std::string& subject) {
  uint64_t seed = 0;
  const char* end = digits.data() + digits.size();
  const auto [stop, error] = std::from_chars(digits.data(), end, seed);
  HICI_CHECK(error == std::errc() && stop == end, subject, ": seed ", shown_json(digits), " is no whole number");
  return seed;
}

GlobalBatch parse_batch(const JsonObject& object) {
  return {.per_device = object.integer("per_device", 1, kMaxBatch),
          .accumulation = object.integer("accumulation", 1, kMaxBatch),
          .world_size = object.integer("world_size", 1, kMaxBatch)};
}

DataIdentity parse_data(const JsonObject& object) {
  return {.path = object.string("path"),
          .fingerprint = object.string("fingerprint"),
          .num_samples = object.integer("num_samples", 0, config::kMaxCount)};
}

std::map<std::string, std::string> parse_strings(const JsonObject& object) {
  std::map<std::string, std::string> strings;
  for (const auto& item : object.value().items()) strings[item.key()] = object.string(item.key());
  return strings;
}

// Older checkpoints have LibTorch's names of types, numbers with all their digits, and 8 bits as an option of their
// own.
void use_present_spelling(std::map<std::string, std::string>& options) {
  static const std::map<std::string, std::string> kTypes{
      {"Float", "float32"}, {"BFloat16", "bfloat16"}, {"Double", "float64"}};
  const auto dtype = options.find("dtype");
  if (dtype != options.end() && kTypes.contains(dtype->second)) dtype->second = kTypes.at(dtype->second);
  if (options.erase("fp8_base") > 0) options["base_format"] = "fp8";  // it was written where it was True alone
  for (const char* name : {"learning_rate", "hici_lr", "weight_decay", "max_grad_norm", "hici_grad_clip"}) {
    const auto option = options.find(name);
    if (option == options.end()) continue;
    std::string& text = option->second;
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc() && end == text.data() + text.size()) text = shortest_number(value);
  }
}

std::string batch_text(const GlobalBatch& batch) {
  return detail::concat(batch.size(), " (per device ", batch.per_device, " x accumulation ", batch.accumulation,
                        " x processes ", batch.world_size, ")");
}

// The differences that matter, each as "what is A, the checkpoint has B".
class Differences {
 public:
  template <typename T>
  void compare(const std::string& what, const T& saved, const T& current) {
    if (saved != current) add(what, detail::concat(saved), detail::concat(current));
  }
  void add(const std::string& what, const std::string& saved, const std::string& current) {
    found_.push_back(detail::concat(what, " is ", current, ", the checkpoint has ", saved));
  }
  void add(const std::string& difference) { found_.push_back(difference); }
  const std::vector<std::string>& found() const { return found_; }

 private:
  std::vector<std::string> found_;
};

void compare_options(const TrainingState& saved, const TrainingState& current, Differences& differences) {
  const std::string absent = "not set";
  for (const auto& [name, value] : saved.options) {
    const auto found = current.options.find(name);
    differences.compare(field_text(name), value, found == current.options.end() ? absent : found->second);
  }
  for (const auto& [name, value] : current.options) {
    if (!saved.options.contains(name))
      differences.add(detail::concat(field_text(name), " is ", value, ", and not set in the checkpoint"));
  }
}

std::vector<std::string> differences_of(const TrainingState& saved, const TrainingState& current) {
  Differences differences;
  if (saved.data.fingerprint != current.data.fingerprint || saved.data.num_samples != current.data.num_samples) {
    const auto text = [](const DataIdentity& data) {
      return detail::concat(data.path, " (", data.num_samples, " samples, fingerprint ", data.fingerprint.substr(0, 12),
                            ")");
    };
    differences.add("the data", text(saved.data), text(current.data));
  }
  const std::string other_base = difference_of(saved.identity.base, current.identity.base);
  if (!other_base.empty()) differences.add("the base model is another one (" + other_base + ")");
  for (const ConfigDifference& d : config_differences(saved.identity.config, current.identity.config))
    differences.add("config.json: the base's " + d.name, d.before, d.now);
  const std::string &old_tokenizer = saved.identity.tokenizer_sha256, &tokenizer = current.identity.tokenizer_sha256;
  if (!old_tokenizer.empty() && !tokenizer.empty() && old_tokenizer != tokenizer) {
    differences.add("the tokenizer", shown_tokenizer(old_tokenizer), shown_tokenizer(tokenizer));
  }
  if (saved.batch.size() != current.batch.size()) {
    differences.add("the global batch", batch_text(saved.batch), batch_text(current.batch));
  }
  differences.compare("`sequence_length`", saved.sequence_length, current.sequence_length);
  differences.compare("`seed`", saved.seed, current.seed);
  compare_options(saved, current, differences);
  return differences.found();
}

std::vector<std::string> differences_of_start(const TrainingState& saved, const TrainingState& current) {
  Differences differences;
  for (const auto& [name, value] : current.start_options) {
    const auto found = saved.start_options.find(name);
    if (found != saved.start_options.end()) differences.compare(field_text(name), found->second, value);
  }
  return differences.found();
}

}  // namespace

std::string training_state_text(const TrainingState& state) {
  nlohmann::ordered_json root;
  root["version"] = kVersion;
  root["step"] = state.step;
  root["epoch"] = state.epoch;
  root["next_sample"] = state.next_sample;
  root["tokens"] = state.tokens;
  root["seed"] = std::to_string(state.seed);  // as text: 64 unsigned bits are more than most JSON readers hold
  root["sequence_length"] = state.sequence_length;
  root["batch"] = {{"per_device", state.batch.per_device},
                   {"accumulation", state.batch.accumulation},
                   {"world_size", state.batch.world_size}};
  root["data"] = {
      {"path", state.data.path}, {"fingerprint", state.data.fingerprint}, {"num_samples", state.data.num_samples}};
  root["options"] = state.options;
  root["start_options"] = state.start_options;
  return root.dump(1) + "\n";
}

TrainingState parse_training_state(std::string_view text, const std::string& subject) {
  const nlohmann::json value = parse_json(text, subject, kMaxStateBytes);
  const JsonObject root(value, subject);
  const int64_t version = root.integer("version", 1, kMaxInteger);
  HICI_CHECK(version == kVersion, subject, ": version ", version, ", this program reads ", kVersion,
             "; use a newer hici");
  TrainingState state;
  state.step = root.integer("step", 0, config::kMaxCount);
  state.epoch = root.integer("epoch", 0, config::kMaxCount);
  state.next_sample = root.integer("next_sample", 0, config::kMaxCount);
  state.tokens = root.integer("tokens", 0, kMaxTokens);
  state.seed = parse_seed(root.string("seed"), subject);
  state.sequence_length = root.integer("sequence_length", 1, config::kMaxSequenceTokens);
  state.batch = parse_batch(root.object("batch"));
  state.data = parse_data(root.object("data"));
  state.options = parse_strings(root.object("options"));
  use_present_spelling(state.options);
  if (root.has("start_options")) state.start_options = parse_strings(root.object("start_options"));
  return state;
}

void write_training_state(const fs::path& checkpoint, const TrainingState& state) {
  write_file_atomically(checkpoint / kTrainingStateName, training_state_text(state));
}

TrainingState read_training_state(const fs::path& checkpoint) {
  const fs::path file = checkpoint / kTrainingStateName;
  TrainingState state = parse_training_state(read_file(file, kMaxStateBytes, Links::kCompanion), file.string());
  state.identity = read_identity(checkpoint).value_or(ModelIdentity{});
  return state;
}

void check_resumable(const fs::path& checkpoint, const TrainingState& saved, const TrainingState& current,
                     bool is_overridden, const std::string& override_flag) {
  std::vector<std::string> differences = differences_of(saved, current);
  const std::vector<std::string> of_start = differences_of_start(saved, current);
  if (is_overridden) {
    HICI_CHECK(of_start.empty(), checkpoint.string(), ": ", joined(of_start, "; "),
               "; the checkpoint decides that, also with ", override_flag, ": leave the option out");
    for (const std::string& difference : differences) {
      log_warning(checkpoint.string(), ": ", difference, "; going on because of ", override_flag);
    }
    return;
  }
  differences.insert(differences.end(), of_start.begin(), of_start.end());
  HICI_CHECK(differences.empty(), checkpoint.string(), ": cannot go on exactly: ", joined(differences, "; "),
             "; give what the checkpoint has",
             differences.size() > of_start.size() ? ", or add " + override_flag : std::string());
}

}  // namespace hici::io
